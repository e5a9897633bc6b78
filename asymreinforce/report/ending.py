"""Whether an arm ended in a collapse: its verdict and the written rule, together."""

from asymreinforce.report.records import Outcome


def has_collapsed(outcome: Outcome) -> bool:
    """Tell whether an arm's verdict is a collapse, or the rule saw one that it never got over.

    The rule of docs/collapse.md sees a collapse while it happens; an arm that ends above mu all the
    same has come back, and one that does not has not, even where its verdict is `stable`.
    """
    is_called = outcome.collapse_step is not None and outcome.verdict != "improved"
    return outcome.verdict == "collapsed" or is_called
