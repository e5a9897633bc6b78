"""Read, check and tokenise every row of a foreign file, and group them by prompt."""

import hashlib
from pathlib import Path

import numpy as np

from asymreinforce.config import ExperimentConfig
from asymreinforce.errors import InputError
from asymreinforce.imported.columns import Columns
from asymreinforce.imported.fields import BadValueError
from asymreinforce.imported.group_by_prompt import ImportedPrompt, ImportedRow, PromptGroups
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.records import Record, files_of, read_records
from asymreinforce.imported.records import count_rows as records_in
from asymreinforce.imported.rows import ForeignRow, rows_of
from asymreinforce.imported.tokens import Encoder
from asymreinforce.progress import bar

ADVICE = "fix the file, or name other columns (source.columns.FIELD=NAME); nothing was imported"


def check_rows(
    groups: PromptGroups,
    config: ExperimentConfig,
    encoder: Encoder,
    columns: Columns,
    notes: Problems,
) -> None:
    """Read, check and tokenise every row; raise one `InputError` that lists all problems."""
    source, problems, count = config.source, Problems(), 0
    paths = files_of(source)
    wanted_filter: list[str] = [source.filter] if source.filter else []
    total = records_in(paths)
    with bar("read", total=total, unit="rows") as advance:
        for record in read_records(paths, problems):
            count += 1
            # lm-evaluation-harness logs the same completion once for each filter
            if source.format == "lm_eval" and _of_another_filter(record, wanted_filter):
                notes.add("are of another filter of lm-evaluation-harness", record.place)
                continue
            policy = source.policy or _policy_of(record.path, source.format)
            for row in rows_of(
                record,
                columns,
                default_policy=policy,
                turns=source.turns,
                problems=problems,
                notes=notes,
            ):
                try:
                    _take_in(groups, row, encoder, notes)
                except BadValueError as error:
                    problems.add(str(error), row.place)
            advance(1)
    where = str(source.path)
    if source.filter and count and not columns.has_seen_rows:
        raise InputError(
            f"{where}: no row is of the filter {source.filter!r}; leave source.filter out"
        )
    if columns.has_seen_rows:
        # before other problems, because a missing column is a problem of every row
        columns.require(where)
    problems.raise_if_any(where, rows=max(total, count), advice=ADVICE)
    if not count:
        raise InputError(f"{where}: holds no rows")
    _require_golds(groups, where)


def _take_in(groups: PromptGroups, row: ForeignRow, encoder: Encoder, notes: Problems) -> None:
    # asked first, because a line of ten megabytes takes minutes to tokenise
    if encoder.is_too_long(row):
        encoder.pass_over(row)
        return
    question, prompt_ids = encoder.prompt(row)
    completion = encoder.completion(row)
    if not len(completion.token_ids):
        notes.add("have an empty completion", row.place)
        return
    if len(prompt_ids) + len(completion.token_ids) > encoder.context:
        encoder.pass_over(row)
        return
    prompt_id = row.prompt_id or _hash_of(prompt_ids)
    number = _prompt_number(groups, row, prompt_id, question, prompt_ids)
    is_same = groups.add_row(
        number,
        ImportedRow(
            row.policy,
            row.source_sample,
            completion.token_ids,
            row.logps,
            completion.finish_reason,
            completion.text,
            row.reward,
        ),
    )
    if is_same:
        notes.add("repeat another row", row.place)
    if is_same is False:
        raise BadValueError("have the prompt, policy and sample of another row, and another text")


def _prompt_number(
    groups: PromptGroups, row: ForeignRow, prompt_id: str, question: str, prompt_ids: np.ndarray
) -> int:
    number = groups.prompt_number(prompt_id)
    if number is None:
        return groups.add_prompt(
            ImportedPrompt(
                prompt_id,
                question,
                row.gold_answer,
                row.level,
                row.subject,
                row.metadata,
                prompt_ids,
                row.place,
                is_rendered=row.is_bare_question,
            )
        )
    prompt = groups.prompt(number)
    if not np.array_equal(prompt.tokens, prompt_ids):
        raise BadValueError("have the prompt id of another prompt")
    if prompt.gold_answer is None and row.gold_answer is not None:
        # only one row of a prompt needs to hold the gold answer
        groups.set_gold(number, row.gold_answer, metadata=row.metadata or prompt.metadata)
    elif row.gold_answer not in (None, prompt.gold_answer):
        raise BadValueError("have another gold answer than an earlier row of their prompt")
    return number


def _require_golds(groups: PromptGroups, where: str) -> None:
    """Raise `InputError` if a prompt has no gold answer and a row of it has no reward."""
    missing = Problems()
    prompts = 0
    for number, prompt_id in list(groups.prompt_ids()):
        prompts += 1
        if groups.prompt(number).gold_answer is None and any(
            row.reward is None for row in groups.rows(number)
        ):
            missing.add("are of a prompt with neither a gold answer nor rewards", prompt_id)
    missing.raise_if_any(
        where,
        rows=prompts,
        advice="name the column with source.columns.gold_answer=NAME (or .reward)",
    )
    if not prompts:
        raise InputError(
            f"{where}: no row is left; every one was passed over, raise policy.context or look at "
            "the file"
        )


def _hash_of(prompt_ids: np.ndarray) -> str:
    return f"foreign-{hashlib.sha256(prompt_ids.astype(np.int32).tobytes()).hexdigest()[:16]}"


def _policy_of(path: Path, format_: str | None) -> str:
    """Return a default policy name, from the name of the file or of its directory."""
    # lm-evaluation-harness writes the files of each model to a directory named by the model
    return path.parent.name if format_ == "lm_eval" else path.name.partition(".")[0]


def _of_another_filter(record: Record, wanted: list[str]) -> bool:
    """Tell whether a record is of another filter than `wanted`; the first filter is wanted."""
    name = record.values.get("filter")
    if not isinstance(name, str):
        return False
    if not wanted:
        wanted.append(name)
    return name != wanted[0]
