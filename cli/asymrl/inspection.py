"""What `asymrl inspect` prints: groups of rollouts, counts, and where two graders disagree.

Texts come from models and files: every character that does not show itself is spelled out, and
nothing is taken for markup.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce import terminal
from asymreinforce.config import REFERENCES
from asymreinforce.data.gold_answers import accepted_answers
from asymreinforce.errors import ConfigError
from asymreinforce.plugins import is_plugin
from asymreinforce.untrusted import show_bytes, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from asymreinforce.viewing.disagreements import Disagreements
    from asymreinforce.viewing.inspection import Count, Group, Row, View
    from asymreinforce.viewing.rendered import Decode
    from asymreinforce.viewing.stored import StoredSet

SHOWN_REFERENCES = ("group_mean", "leave_one_out", "dataset_mean", "zero")
"""References that a prompt's verdicts and the data set's mean are enough for."""
LONGEST_NAME = 18
LONGEST_ANSWER = 24
MOST_LINES = 16
STYLES = {"correct": "green", "incorrect": "red"}


class WantedRollouts(NamedTuple):
    """Which rollouts are looked at; an empty choice is all."""

    outcomes: frozenset[str] = frozenset()
    prompt_ids: frozenset[str] = frozenset()
    policy: str | None = None
    truncated: bool = False

    def matches(self, row: "Row") -> bool:
        """Tell whether a rollout is wanted; being cut off is one more outcome."""
        is_chosen = not (self.outcomes or self.truncated) or (
            row.outcome in self.outcomes or (self.truncated and row.finish_reason == "length")
        )
        return (
            is_chosen
            and (not self.prompt_ids or row.prompt_id in self.prompt_ids)
            and self.policy in (None, row.policy)
        )


def run_inspect(
    directory: Path,
    wanted: WantedRollouts,
    *,
    baseline: float,
    reference: str,
    grader: str | None,
    against: str | None,
    rollouts: str | None,
    round_: int | None,
    arm: str | None,
    counts_alone: bool,
    limit: int,
    characters: int,
) -> None:
    """Print what is wanted of an experiment's rollouts; `InputError` where there are none."""
    from asymreinforce.viewing import inspection, stored
    from asymreinforce.viewing.disagreements import find_disagreements
    from asymreinforce.viewing.judged_chunks import scale_of
    from asymreinforce.viewing.rendered import decoder_of
    from asymreinforce.viewing.shown_reward import choose_reward

    if reference not in SHOWN_REFERENCES and not is_plugin(reference):
        why = "is made of more than verdicts" if reference in REFERENCES else "is unknown"
        raise ConfigError(
            f"--reference {reference} {why}; inspect shows {', '.join(SHOWN_REFERENCES)}, and "
            "your own"
        )
    rollout_set = stored.find_set(directory, rollouts=rollouts, round_=round_, arm=arm)
    reward = choose_reward(rollout_set, grader=grader, arm=arm)
    verdicts = reward.verdicts
    view = inspection.View(baseline, reference, reward.config, reward.others)
    console = terminal.make_console()
    if against is not None:
        other = stored.verdicts_of(rollout_set, against)
        if verdicts is None or other is None:
            raise ConfigError("--against needs two sets of verdicts; name one with --grader")
        left, right = (stored.all_verdicts(store) for store in (verdicts, other))
        scale = scale_of(verdicts, reward.config)
        print_disagreements(console, find_disagreements(left, right, scale))
        return
    by = f"verdicts of {stored.grader_of(verdicts)}" if verdicts else "not scored yet"
    about = [f"rollouts {rollout_set.rollouts.hash}", by, *filter(None, [reward.words])]
    console.print(_styled_text(" · ".join(about), style="dim"), soft_wrap=True)
    console.print(_styled_text(_describe_set(rollout_set), style="dim"))
    counts = inspection.count_by_kind(rollout_set, verdicts, view, match=wanted.matches)
    if not counts_alone:
        groups = inspection.matching_groups(
            rollout_set, verdicts, view, match=wanted.matches, limit=limit
        )
        decode = decoder_of(rollout_set) if groups else None
        for group in groups:
            print_group(console, group, view=view, characters=characters, decode=decode)
    if counts:
        print_counts(console, counts)
    else:
        console.print("no rollout matches")


def _describe_set(rollout_set: "StoredSet") -> str:
    """Say why it is this set, and how to see another."""
    others = (
        f"; {rollout_set.others} more, --rollouts or --round chooses" if rollout_set.others else ""
    )
    return rollout_set.chosen_as + others


def print_group(
    console: "Console",
    group: "Group",
    *,
    view: "View",
    characters: int,
    decode: "Decode | None",
) -> None:
    """Print a prompt, as the model saw it too, its rollouts, and the texts of those that match."""
    prompt = group.prompt
    about = [prompt["prompt_id"], *(prompt.get(name) for name in ("level", "subject"))]
    console.rule(
        _styled_text(" · ".join(str(part) for part in about if part), style="bold"), align="left"
    )
    console.print(
        _cut_text(prompt.get("question", "(its prompt is not in this experiment)"), characters)
    )
    if prompt.get("gold_answer"):
        golds = " or ".join(accepted_answers(prompt.get("metadata"), prompt["gold_answer"]))
        console.print(_styled_text("gold answer: ", style="dim") + _cut_text(golds, 200))
    _print_rendered(console, group, characters=characters, decode=decode)
    console.print(_group_table(group, view))
    for place in group.matching:
        row = group.rows[place]
        heading = f"sample {row.sample} · {row.policy} · {row.outcome}"
        console.print(_styled_text(heading, style=STYLES.get(row.outcome, "yellow")))
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
        console.print(_styled_text(f"prompt: {about}; its tokenizer was not found", style="dim"))
        return
    text = decode(token_ids)
    if text == group.prompt.get("question"):
        console.print(
            _styled_text(f"prompt as the model saw it: the question alone ({about})", style="dim")
        )
        return
    console.print(_styled_text(f"prompt as the model saw it ({about}):", style="dim"))
    console.print(_cut_text(text, characters))


def _group_table(group: "Group", view: "View") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("#", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("end", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in ("r", f"A at {view.baseline:g}"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("answer", no_wrap=True, overflow="ellipsis", max_width=LONGEST_ANSWER)
    table.add_column("policy", no_wrap=True, overflow="ellipsis", max_width=LONGEST_NAME)
    for place, row in enumerate(group.rows):
        table.add_row(
            str(row.sample),
            str(group.tokens[place]),
            "cut off" if row.finish_reason == "length" else row.finish_reason,
            _styled_text(row.outcome.replace("_", " "), style=STYLES.get(row.outcome, "yellow")),
            _signed_number(row.reward),
            _signed_number(row.advantage, decimals=3),
            _one_line(row.answer),
            _one_line(row.policy),
            style="" if place in group.matching else "dim",
        )
    return table


def print_counts(console: "Console", counts: "Mapping[str, Mapping[str, Count]]") -> None:
    """Print how many rollouts there are, by policy, level and subject."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=32)
    for name in ("prompts", "rollouts", "correct", "no answer", "cut off"):
        table.add_column(name, justify="right", no_wrap=True)
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
    """Print how often two graders said what of the same rollouts, and some that differ."""
    from rich import box
    from rich.table import Table

    agreement = "-" if result.agreement is None else f"{result.agreement:.2%}"
    console.print(
        _styled_text(
            f"{result.rows} rollouts judged by both, {result.differing} differ; agree: {agreement}"
        )
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in (result.left, result.right):
        table.add_column(_one_line(name), no_wrap=True)
    table.add_column("rollouts", justify="right", no_wrap=True)
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
    examples = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
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
    return _styled_text(text if answer is None else f"{text}: ") + _cut_text(answer or "", 80)


def _styled_text(content: str, *, style: str = "") -> "Text":
    from rich.text import Text

    return Text(visible(content), style=style)


def _one_line(content: str | None) -> "Text":
    return _styled_text("-" if content is None else " ".join(content[:200].split()))


def _cut_text(content: Any, characters: int) -> "Text":
    """Show so many characters of an untrusted text, of at most a screen's lines."""
    from rich.text import Text

    shown = show_bytes(str(content).encode(errors="surrogateescape"), longest=characters)
    lines = shown.text.splitlines()
    kept = "\n".join(lines[:MOST_LINES])
    more = []
    if len(lines) > MOST_LINES:
        more.append(f"{len(lines) - MOST_LINES} lines")
    if shown.bytes_left_out:
        more.append(f"{shown.bytes_left_out} bytes")
    text = Text(kept)
    return text + Text(f" … {' and '.join(more)} more", style="dim") if more else text


def _signed_number(value: float | None, *, decimals: int = 2) -> str:
    return "-" if value is None else f"{value:+.{decimals}f}"


def _percent_text(part: int, whole: int) -> str:
    return "-" if not whole else f"{100 * part / whole:.1f}%"
