"""Count and report the rows that a grader could not judge, and fail if they are too many.

A few such rows are left out of their groups. Many mean that the grader, its limits or the data are
wrong, which a reward of zero would hide.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from asymreinforce.data.contracts import UNJUDGED
from asymreinforce.errors import GraderError
from asymreinforce.grading.verdict import LATE, Verdict

EXAMPLES = 5
"""How many messages of failed rows are shown and recorded."""


def count_failed(judged: Sequence[Verdict]) -> int:
    """Count the rows that could not be judged."""
    return sum(verdict.status in UNJUDGED for verdict in judged)


def count_out_of_time(judged: Sequence[Verdict]) -> int:
    """Count the answers that count as wrong because the grader ran out of CPU time."""
    return sum(v.status == "ok" and (v.message or "").startswith(LATE) for v in judged)


def first_failures(judged: Sequence[Verdict], keys: pa.Table) -> list[str]:
    """Say why each of the first few failed rows has no score (`keys`: prompt_id, sample)."""
    places = (place for place, verdict in enumerate(judged) if verdict.status in UNJUDGED)
    return [
        f"{keys.column('prompt_id')[place]}, sample {keys.column('sample')[place]}: "
        f"{judged[place].status} ({judged[place].message})"
        for place in itertools.islice(places, EXAMPLES)
    ]


def require_few(
    failures: int,
    *,
    rows: int,
    limit: float,
    grader: str,
    where: Path,
    examples: Sequence[str] = (),
) -> None:
    """Raise `GraderError` if more than the share `limit` of all rows could not be judged."""
    if failures <= limit * rows:
        return
    said = "".join(f"\n  {example}" for example in examples)
    raise GraderError(
        f"{where}: the grader {grader} could not judge {failures} of {rows} rows "
        f"({100 * failures / rows:.1f}%), more than reward.max_error_rate={limit:g}{said}\n"
        "mend the grader, raise reward.cpu_limit_s or reward.memory_limit_mb, or accept it with a "
        "higher reward.max_error_rate; the verdicts made so far are kept"
    )
