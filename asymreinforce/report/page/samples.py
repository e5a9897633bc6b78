"""Read completions of mu, the best arm and a collapsed arm on the same prompts.

Prompts are chosen by a hash of their id, so that outcomes do not influence the choice and every
report shows the same prompts. The first sample of each prompt is shown.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.report.evaluated import scale_of
from asymreinforce.report.groups import ArmGroup, best_group
from asymreinforce.report.records import Checkpoint, Experiment, ReportedArm
from asymreinforce.rewards.scale import rewards_of
from asymreinforce.untrusted import LONGEST, Shown, show_bytes

MOST_PROMPTS = 20
LONGEST_ANSWER = 200
UNTRUSTED = ("question", "gold_answer", "text", "extracted_answer")
# a character of UTF-8 takes at most 4 bytes; the rest tells `show` that the text goes on
BYTES_READ = 4 * LONGEST + 8


class Writer(NamedTuple):
    """The policy that wrote a column of samples: an arm at a step; step 0 is mu."""

    role: str
    arm: ReportedArm
    checkpoint: Checkpoint
    experiment: str
    """The name of the arm's experiment."""

    path: Path
    """The path of the evaluation."""


class Sample(NamedTuple):
    """One completion to show; `correct` is None if the reward settings drop it."""

    text: Shown
    answer: Shown | None
    status: str
    correct: bool | None
    tokens: int


class Prompt(NamedTuple):
    """A prompt with one sample per writer; None if the writer has no sample of it."""

    prompt_id: str
    question: Shown | None
    gold_answer: Shown | None
    samples: tuple[Sample | None, ...]


class Samples(NamedTuple):
    """At most 20 prompts, and the writers of their samples in the order of columns."""

    writers: tuple[Writer, ...]
    prompts: tuple[Prompt, ...]


def read_samples(experiment: Experiment, groups: Sequence[ArmGroup]) -> Samples:
    """Read the samples that the report shows; empty if no evaluation is on disk.

    Raises `InputError` if an evaluation or the prompts are damaged.
    """
    return _read_prompts(choose_writers(experiment, groups), [experiment])


def read_samples_of_two(
    first: tuple[Experiment, Sequence[ArmGroup]], second: tuple[Experiment, Sequence[ArmGroup]]
) -> Samples:
    """Read samples of two experiments on the same prompts: mu, both best arms, a collapsed arm.

    Empty if the experiments have no prompt in common; raises as `read_samples` does.
    """
    ours, theirs = choose_writers(*first), choose_writers(*second)
    fallen = [writer for writer in (*ours, *theirs) if writer.role == "collapsed"]
    lowest = sorted(fallen, key=lambda writer: writer.checkpoint.accuracy)[:1]
    chosen = [
        *(writer for writer in ours if writer.role != "collapsed"),
        *(writer for writer in theirs if writer.role == "best"),
        *lowest,
    ]
    return _read_prompts(chosen, [first[0], second[0]])


def _read_prompts(chosen_writers: Sequence[Writer], experiments: Sequence[Experiment]) -> Samples:
    writers = tuple(writer for writer in chosen_writers if writer.path.is_file())
    if not writers:
        return Samples((), ())
    common = set.intersection(*(_prompt_ids(writer.path) for writer in writers))
    # by a hash: a choice that no outcome influences
    chosen = sorted(common, key=lambda id_: hashlib.sha256(id_.encode()).digest())[:MOST_PROMPTS]
    columns = [
        _read_chosen(writer.path, chosen, scale_of(writer.arm.settings)) for writer in writers
    ]
    questions: dict[str, tuple[Shown, Shown]] = {}
    for experiment in experiments:
        questions = _read_questions(experiment, chosen) | questions
    unknown = (None, None)
    prompts = []
    for id_ in chosen:
        question, gold_answer = questions.get(id_, unknown)
        samples = tuple(by_prompt.get(id_) for by_prompt in columns)
        prompts.append(Prompt(id_, question, gold_answer, samples))
    return Samples(writers, tuple(prompts))


def choose_writers(experiment: Experiment, groups: Sequence[ArmGroup]) -> list[Writer]:
    """Choose mu, the lowest seed of the best group, and the collapsed arm of lowest accuracy.

    The best group has the highest mean final accuracy; mu is the policy that the chosen arm of the
    best group started from.
    """
    best = best_group(groups)
    first = best.lowest_seed if best else None
    if first is None:
        return []
    writers = []
    collapsed = [
        (arm.outcome.accuracy, number)
        for number, arm in enumerate(experiment.arms)
        if arm.outcome and arm.outcome.verdict == "collapsed"
    ]
    lowest = experiment.arms[min(collapsed)[1]] if collapsed else None

    def writer(role: str, arm: ReportedArm, checkpoint: Checkpoint) -> Writer:
        path = experiment.directory / checkpoint.evaluation
        return Writer(role, arm, checkpoint, experiment.name, path)

    if mu := first.evaluated(experiment.split).get(0):
        writers.append(writer("mu", first, mu))
    if last := _last_checkpoint(experiment, first):
        writers.append(writer("best", first, last))
    if lowest and lowest.id != first.id and (last := _last_checkpoint(experiment, lowest)):
        writers.append(writer("collapsed", lowest, last))
    return writers


def _last_checkpoint(experiment: Experiment, arm: ReportedArm) -> Checkpoint | None:
    trained = [c for c in arm.evaluated(experiment.split).values() if c.step > 0]
    return trained[-1] if trained else None


def _prompt_ids(path: Path) -> set[str]:
    rows = contracts.read_table(path, contracts.EVALUATIONS, columns=["prompt_id"])
    return set(rows.column("prompt_id").unique().to_pylist())


def _read_chosen(path: Path, chosen: Iterable[str], reward: RewardConfig) -> dict[str, Sample]:
    """Return the first sample of each chosen prompt, by prompt id."""
    rows = contracts.read_table(path, contracts.EVALUATIONS)
    rows = rows.filter(pc.is_in(rows.column("prompt_id"), pa.array(list(chosen), pa.string())))
    given = rewards_of(rows, reward)
    judged = zip(_cut_rows(rows), given.correct_B, given.kept_B, strict=True)
    # in falling order, so that the first sample is the last to enter the dictionary
    in_order = sorted(judged, key=lambda row: row[0]["sample"], reverse=True)
    return {row[0]["prompt_id"]: _make_sample(*row) for row in in_order}


def _make_sample(row: dict[str, Any], is_correct: bool, is_kept: bool) -> Sample:
    return Sample(
        text=_shown_text(row, "text", LONGEST),
        answer=None if row["extracted_answer"] is None else _shown_text(row, "extracted_answer"),
        status=row["status"],
        correct=bool(is_correct) if is_kept else None,
        tokens=row["tokens"],
    )


def _read_questions(
    experiment: Experiment, chosen: Sequence[str]
) -> dict[str, tuple[Shown, Shown]]:
    """Read questions and gold answers of the chosen prompts from the experiment's prompt files."""
    questions: dict[str, tuple[Shown, Shown]] = {}
    for rows in contracts.prompt_tables(experiment.directory, wanted=chosen):
        for row in _cut_rows(rows):
            texts = (_shown_text(row, "question"), _shown_text(row, "gold_answer"))
            questions[row["prompt_id"]] = texts
        if len(questions) == len(chosen):  # the other prompt files cannot add anything
            break
    return questions


def _cut_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Turn rows into dictionaries with untrusted text as cut bytes and its full length."""
    # cut in Arrow, so that a huge completion never becomes a Python string
    for name in UNTRUSTED:
        if name in rows.schema.names:
            content = rows.column(name).cast(pa.binary())
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, pc.binary_slice(content, 0, BYTES_READ))
            rows = rows.append_column(f"{name}_bytes", pc.binary_length(content))
    values: list[dict[str, Any]] = rows.to_pylist()
    return values


def _shown_text(row: dict[str, Any], name: str, longest: int | None = None) -> Shown:
    content, length = row[name], row[f"{name}_bytes"]
    limit = longest or (LONGEST if name == "question" else LONGEST_ANSWER)
    shown = show_bytes(content, longest=limit)
    return Shown(shown.text, shown.bytes_left_out + length - len(content))
