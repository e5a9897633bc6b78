"""Print groups of rollouts, counts, and disagreements of two graders for `asymrl inspect`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce import terminal
from asymreinforce.config import REFERENCES
from asymreinforce.data.gold_answers import accepted_answers
from asymreinforce.errors import ConfigError
from asymreinforce.plugins import is_plugin
from asymrl.console import (
    MOST_LINES,
    add_numbers,
    cut_text,
    make_table,
    outcome_style,
    styled_text,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from asymreinforce.viewing.disagreements import Disagreements
    from asymreinforce.viewing.inspection import Count, Group, Row, View
    from asymreinforce.viewing.rendered import Decode
    from asymreinforce.viewing.shown_reward import ShownReward
    from asymreinforce.viewing.stored import StoredSet

SHOWN_REFERENCES = ("group_mean", "leave_one_out", "dataset_mean", "zero")
"""References that only need the verdicts of a prompt and the mean of the data set."""
LONGEST_NAME = 18
LONGEST_ANSWER = 24


class WantedRollouts(NamedTuple):
    """The choice of rollouts to show; an empty field chooses all."""

    outcomes: frozenset[str] = frozenset()
    prompt_ids: frozenset[str] = frozenset()
    policy: str | None = None
    truncated: bool = False

    def matches(self, row: "Row") -> bool:
        """Tell whether a rollout is wanted; `truncated` adds to the chosen outcomes."""
        is_chosen = not (self.outcomes or self.truncated) or (
            row.outcome in self.outcomes or (self.truncated and row.finish_reason == "length")
        )
        return (
            is_chosen
            and (not self.prompt_ids or row.prompt_id in self.prompt_ids)
            and self.policy in (None, row.policy)
        )


def view_of(*, baseline: float, reference: str, reward: "ShownReward") -> "View":
    """Return how to show rewards; raises `ConfigError` if a reference needs more than verdicts."""
    from asymreinforce.viewing.inspection import View

    if reference not in SHOWN_REFERENCES and not is_plugin(reference):
        why = "is made of more than verdicts" if reference in REFERENCES else "is unknown"
        raise ConfigError(
            f"--reference {reference} {why}; inspect shows {', '.join(SHOWN_REFERENCES)}, and "
            "your own"
        )
    return View(baseline, reference, reward.config, reward.others)


def compare_graders(rollout_set: "StoredSet", reward: "ShownReward", *, against: str) -> None:
    """Print the disagreements of two graders; raises `ConfigError` if one has no verdicts."""
    from asymreinforce.viewing import stored
    from asymreinforce.viewing.disagreements import find_disagreements
    from asymreinforce.viewing.judged_chunks import scale_of

    one, other = reward.verdicts, stored.verdicts_of(rollout_set, against)
    if one is None or other is None:
        raise ConfigError("--against needs two sets of verdicts; name one with --grader")
    left, right = (stored.all_verdicts(store) for store in (one, other))
    scale = scale_of(one, reward.config)
    print_disagreements(terminal.make_console(), find_disagreements(left, right, scale))


def print_rollouts(
    rollout_set: "StoredSet",
    reward: "ShownReward",
    view: "View",
    wanted: WantedRollouts,
    *,
    limit: int,
    characters: int,
) -> None:
    """Print the wanted rollouts of at most `limit` prompts, and the counts of all of them."""
    from asymreinforce.viewing import inspection, stored
    from asymreinforce.viewing.rendered import decoder_of

    verdicts, match = reward.verdicts, wanted.matches
    console = terminal.make_console()
    by = f"verdicts of {stored.grader_of(verdicts)}" if verdicts else "not scored yet"
    about = [f"rollouts {rollout_set.rollouts.hash}", by, *filter(None, [reward.words])]
    console.print(styled_text(" · ".join(about), style="dim"), soft_wrap=True)
    others = rollout_set.others
    more = f"; {others} more, --rollouts or --round chooses" if others else ""
    console.print(styled_text(rollout_set.chosen_as + more, style="dim"))
    counts = inspection.count_by_kind(rollout_set, verdicts, view, match=match)
    if limit:
        groups = inspection.matching_groups(rollout_set, verdicts, view, match=match, limit=limit)
        decode = decoder_of(rollout_set) if groups else None
        for group in groups:
            print_group(console, group, view=view, characters=characters, decode=decode)
    if counts:
        print_counts(console, counts)
    else:
        console.print("no rollout matches")


def print_group(
    console: "Console", group: "Group", *, view: "View", characters: int, decode: "Decode | None"
) -> None:
    """Print a prompt, its rendering for the model, its rollouts, and the texts that match."""
    prompt = group.prompt
    about = [prompt["prompt_id"], *(prompt.get(name) for name in ("level", "subject"))]
    title = " · ".join(str(part) for part in about if part)
    console.rule(styled_text(title, style="bold"), align="left")
    question = prompt.get("question", "(its prompt is not in this experiment)")
    console.print(_cut_text(question, characters))
    if prompt.get("gold_answer"):
        golds = " or ".join(accepted_answers(prompt.get("metadata"), prompt["gold_answer"]))
        console.print(styled_text("gold answer: ", style="dim") + _cut_text(golds, 200))
    _print_rendered(console, group, characters=characters, decode=decode)
    console.print(_group_table(group, view))
    for place in group.matching:
        row = group.rows[place]
        heading = f"sample {row.sample} · {row.policy} · {row.outcome}"
        console.print(styled_text(heading, style=outcome_style(row.outcome)))
        console.print(_cut_text(group.texts[place], characters), soft_wrap=False)
        console.print()


def _print_rendered(
    console: "Console", group: "Group", *, characters: int, decode: "Decode | None"
) -> None:
    """Print the prompt as the model saw it: its token ids decoded, special tokens spelled out."""
    if not group.prompt_token_ids:
        return
    token_ids, *others = group.prompt_token_ids
    about = f"{len(token_ids)} tokens" + (f"; {len(others)} other prompts" if others else "")
    if decode is None:
        console.print(styled_text(f"prompt: {about}; its tokenizer was not found", style="dim"))
        return
    text = decode(token_ids)
    if text == group.prompt.get("question"):
        text = f"prompt as the model saw it: the question alone ({about})"
        console.print(styled_text(text, style="dim"))
        return
    console.print(styled_text(f"prompt as the model saw it ({about}):", style="dim"))
    console.print(_cut_text(text, characters))


def _group_table(group: "Group", view: "View") -> "Table":
    table = make_table(numbers=("#", "tokens"))
    table.add_column("end", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    add_numbers(table, "r", f"A at {view.baseline:g}")
    table.add_column("answer", no_wrap=True, overflow="ellipsis", max_width=LONGEST_ANSWER)
    table.add_column("policy", no_wrap=True, overflow="ellipsis", max_width=LONGEST_NAME)
    for place, row in enumerate(group.rows):
        table.add_row(
            str(row.sample),
            str(group.tokens[place]),
            "cut off" if row.finish_reason == "length" else row.finish_reason,
            styled_text(row.outcome.replace("_", " "), style=outcome_style(row.outcome)),
            _signed_number(row.reward),
            _signed_number(row.advantage, decimals=3),
            _one_line(row.answer),
            _one_line(row.policy),
            style="" if place in group.matching else "dim",
        )
    return table


def print_counts(console: "Console", counts: "Mapping[str, Mapping[str, Count]]") -> None:
    """Print how many rollouts there are, by policy, level and subject."""
    table = make_table()
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=32)
    add_numbers(table, "prompts", "rollouts", "correct", "no answer", "cut off")
    for kind in ("all", "policy", "level", "subject"):
        names = counts.get(kind, {})
        if kind != "all" and names:
            table.add_section()
        for name, count in names.items():
            table.add_row(
                _one_line(name if kind == "all" else f"{kind} {name}"),
                str(count.prompts),
                str(count.rows),
                _percent_text(count.correct, count.judged),
                _percent_text(count.no_answer, count.judged),
                _percent_text(count.truncated, count.rows),
            )
    console.print(table)


def print_disagreements(console: "Console", result: "Disagreements") -> None:
    """Print how often two graders agree on the same rollouts, and some examples that differ."""
    agreement = "-" if result.agreement is None else f"{result.agreement:.2%}"
    differing = f"{result.rows} rollouts judged by both, {result.differing} differ"
    console.print(styled_text(f"{differing}; agree: {agreement}"))
    table = make_table()
    for name in (result.left, result.right):
        table.add_column(_one_line(name), no_wrap=True)
    add_numbers(table, "rollouts")
    for pair in result.pairs:
        table.add_row(
            pair.left.replace("_", " "),
            pair.right.replace("_", " "),
            str(pair.rows),
            style="bold" if pair.left != pair.right else "dim",
        )
    console.print(table)
    if not result.examples:
        return
    examples = make_table()
    examples.add_column("rollout", no_wrap=True, overflow="ellipsis", max_width=28)
    for name in (result.left, result.right):
        examples.add_column(_one_line(name), overflow="fold")
    for row in result.examples:
        examples.add_row(
            _one_line(f"{row.prompt_id} {row.sample}"),
            _outcome_text(row.left, row.left_answer),
            _outcome_text(row.right, row.right_answer),
        )
    console.print(examples)


def _outcome_text(outcome: str, answer: str | None) -> "Text":
    text = outcome.replace("_", " ")
    return styled_text(text if answer is None else f"{text}: ") + _cut_text(answer or "", 80)


def _one_line(content: str | None) -> "Text":
    # Only the start of a text, which may be very long, can be seen in a cell.
    return styled_text("-" if content is None else " ".join(content[:200].split()))


def _cut_text(content: Any, characters: int) -> "Text":
    return cut_text(str(content), characters, most_lines=MOST_LINES)


def _signed_number(value: float | None, *, decimals: int = 2) -> str:
    return "-" if value is None else f"{value:+.{decimals}f}"


def _percent_text(part: int, whole: int) -> str:
    return "-" if not whole else f"{100 * part / whole:.1f}%"
