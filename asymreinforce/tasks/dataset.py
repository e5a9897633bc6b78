"""Tasks that are data sets: read rows, map them to questions, split them, check for overlap."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from asymreinforce.config.task import SPLITS, Split, TaskConfig, TaskSourceConfig
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.tasks import columns, overlap, sources
from asymreinforce.tasks.question import Question, TaskData

MATH500_COLUMN = "in_math500"
READING = 2
"""Version of how rows become questions: raise it if a change makes other questions of the same
data."""


class ReadSource(NamedTuple):
    """The questions of a source, and the number of rows that were left out, by reason."""

    questions: list[Question]
    marked: list[bool]
    """For each question, whether its row is marked as part of MATH-500; False if not stated."""
    rows: int
    left_out: dict[str, int]
    contradicted: int
    """The number of rows that repeat an earlier row's question with another gold answer."""


def source_of(config: TaskConfig, name: str) -> TaskSourceConfig:
    """Return a source's settings; `task.path` is the default of its path."""
    source: TaskSourceConfig = getattr(config.sources, name)
    # task.path is a copy of the whole hub data set, or else the file of the training questions
    inherits = source.hub is not None or name == "train"
    if source.path is None and config.path is not None and inherits:
        return source.model_copy(update={"path": config.path})
    return source


def dataset_fingerprints(config: TaskConfig) -> dict[str, Any]:
    """Return the fingerprint of each source that is set, and the version of reading."""
    named_sources = {name: source_of(config, name) for name in used_sources(config)}
    present = {
        n: sources.source_fingerprint(s) for n, s in named_sources.items() if sources.is_present(s)
    }
    if not present:
        raise ConfigError(
            f"task {config.name}: nothing to read; set task.path=FILE (parquet, JSONL or CSV) or "
            "task.sources.train.hub=NAME"
        )
    return {**present, "reading": READING}


def used_sources(config: TaskConfig) -> list[str]:
    """Return the names of the sources from which the splits are made."""
    return [*SPLITS, *(["marks"] if config.division == "12000/500" else [])]


def read_task_data(config: TaskConfig) -> TaskData:
    """Read every source, split the questions, and check the training split for overlap.

    Raises `InputError` if a source cannot be read or lacks a column, and `ConfigError` if the
    settings ask for more questions than there are.
    """
    read_sources = {
        name: _read_source(config, name)
        for name in SPLITS
        if sources.is_present(source_of(config, name))
    }
    pools: dict[str, list[Question]] = {
        name: source.questions for name, source in read_sources.items()
    }
    if config.division == "12000/500":
        pools |= _math_500_held_out(config, read_sources)
    ordered = {name: _in_order(pool, seed=config.seed) for name, pool in pools.items()}
    divided = _divide_pools(config, ordered)
    facts: dict[str, Any] = {
        "rows": {name: source.rows for name, source in read_sources.items()},
        "left_out": {name: source.left_out for name, source in read_sources.items()},
    }
    if contradicted := {name: n.contradicted for name, n in read_sources.items() if n.contradicted}:
        facts["contradicted"] = contradicted
    if config.overlap.action != "ignore":
        # before questions are counted off, so that dropped ones are replaced
        divided["train"], facts["overlap"] = _drop_overlap(config, divided)
    return TaskData(
        {split: _first_questions(config, split, divided[split]) for split in SPLITS}, facts
    )


def _read_source(config: TaskConfig, name: str) -> ReadSource:
    source = source_of(config, name)
    place = str(source.path or source.hub)
    is_kept = columns.row_filter(source.where, place=place)
    questions: list[Question] = []
    marked: list[bool] = []
    left_out: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    golds: dict[tuple[str, str | None], str] = {}
    rows = contradicted = 0
    for row in sources.source_rows(source):
        rows += 1
        if not is_kept(row):
            left_out["where"] += 1
            continue
        row_place = f"{place}: row {rows}"
        question = columns.question_of(row, config, split=source.split, where=row_place)
        if not question.question.strip():
            left_out["no question"] += 1
        elif len(question.question) > (config.max_characters or len(question.question)):
            left_out["too long"] += 1
        elif not question.gold_answer:
            left_out["no answer"] += 1
        else:
            ids[question.prompt_id] += 1
            count = ids[question.prompt_id]
            if count > 1:
                # repeated questions have the same hash as id, and ids must be unique
                question = question._replace(prompt_id=f"{question.prompt_id}-{count}")
            questions.append(question)
            prompt = question.question, question.metadata
            contradicted += golds.setdefault(prompt, question.gold_answer) != question.gold_answer
            marked.append(columns.read_flag(row, MATH500_COLUMN, where=row_place))
    if not rows:
        raise InputError(f"{place}: holds no row")
    if not questions:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(left_out.items()))
        raise InputError(
            f"{place}: each of its {rows} rows is left out ({reasons}); look at task.columns, "
            f"task.no_answers and task.sources.{name}.where"
        )
    return ReadSource(questions, marked, rows, dict(sorted(left_out.items())), contradicted)


def _math_500_held_out(
    config: TaskConfig, read_sources: Mapping[Split, ReadSource]
) -> dict[str, list[Question]]:
    """Split all of MATH: MATH-500 is held out, and the rest is for training.

    Rows of MATH-500 are marked by the column in_math500, or else have a question of the source
    `marks`.
    """
    if {"train", "held_out"} - read_sources.keys():
        raise ConfigError("task.division=12000/500 needs both files of MATH, train and held_out")
    pool = [*_marked_questions(read_sources["train"]), *_marked_questions(read_sources["held_out"])]
    # in a copy of MATH without that column, MATH-500 itself tells its questions
    if not any(mark for _, mark in pool):
        marks = source_of(config, "marks")
        if not sources.is_present(marks):
            raise InputError(
                f"task {config.name}: no row is marked by a column {MATH500_COLUMN}, and "
                "task.sources.marks names no copy of MATH-500 by which to mark them"
            )
        texts = {
            _normal_text(question.question) for question in _read_source(config, "marks").questions
        }
        # MATH-500 is a part of the test file: a repeat in the training file is not marked
        tested = {
            q.prompt_id
            for q in read_sources["held_out"].questions
            if _normal_text(q.question) in texts
        }
        pool = [(question, question.prompt_id in tested) for question, _ in pool]
    return {
        "train": [question for question, mark in pool if not mark],
        "held_out": [question for question, mark in pool if mark],
    }


def _marked_questions(source: ReadSource) -> Iterator[tuple[Question, bool]]:
    return zip(source.questions, source.marked, strict=True)


def _normal_text(text: str) -> str:
    return " ".join(overlap.normal_words(text))


def _in_order(pool: list[Question], *, seed: int) -> list[Question]:
    """Return questions in a random order that depends only on the seed and their ids."""
    # a hash, so that a smaller number of questions is a prefix of a larger number
    return sorted(pool, key=lambda q: hashlib.sha256(f"{seed}/{q.prompt_id}".encode()).digest())


def _divide_pools(
    config: TaskConfig, pools: dict[str, list[Question]]
) -> dict[Split, list[Question]]:
    """Return the questions by split; a split without a source takes training questions."""
    rest = pools.get("train", [])
    divided: dict[Split, list[Question]] = {}
    for split in ("held_out", "validation"):
        if split in pools:
            divided[split] = pools[split]
            continue
        wanted = getattr(config, split)
        if wanted is None:
            raise ConfigError(
                f"task {config.name}: no source for {split}; set task.{split}=N to keep N of the "
                f"training questions back, or name a file by task.sources.{split}.path"
            )
        if wanted > len(rest):
            raise ConfigError(
                f"task {config.name}: {len(rest)} questions are left to keep back, and "
                f"task.{split}={wanted} asks for more; lower it, or name a file by "
                f"task.sources.{split}.path"
            )
        divided[split], rest = rest[:wanted], rest[wanted:]
    divided["train"] = rest
    return divided


def _first_questions(config: TaskConfig, split: Split, pool: list[Question]) -> list[Question]:
    wanted = getattr(config, split)
    if wanted is not None and len(pool) < wanted:
        raise ConfigError(
            f"task {config.name} has {len(pool)} questions for {split}, not {wanted}; "
            f"lower task.{split}, or set it to null for all"
        )
    return pool[:wanted]


def _drop_overlap(
    config: TaskConfig, divided: dict[Split, list[Question]]
) -> tuple[list[Question], dict[str, Any]]:
    """Return the training questions without those to be dropped, and the counts of overlap."""
    settings = config.overlap
    train = divided["train"]
    if settings.action == "report" and config.train is not None:
        # a report counts the questions in use; dropping looks at all, to replace dropped ones
        train = train[: config.train]
    texts = [question.question for question in train]
    facts: dict[str, Any] = {"ngram": settings.ngram, "threshold": settings.threshold}
    dropped: set[int] = set()
    for split in ("validation", "held_out"):
        others = _first_questions(config, split, divided[split])
        matches = overlap.find_overlap(
            texts,
            [question.question for question in others],
            ngram=settings.ngram,
            threshold=settings.threshold,
        )
        facts[split] = {"exact": len(matches.exact), "near": len(matches.near)}
        dropped |= {*matches.exact, *(matches.near if settings.drop == "near" else [])}
    facts["repeats_within_train"] = overlap.count_repeats(texts)
    if settings.action == "report":
        return divided["train"], {**facts, "dropped": 0}
    kept = [question for index, question in enumerate(train) if index not in dropped]
    return kept, {**facts, "dropped": len(dropped)}
