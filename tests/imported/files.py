"""Foreign files for tests, and the import of one by the library."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.store import Store
from asymreinforce.experiment.inputs import imported
from asymreinforce.imported import Imported, Stores, facts_of
from asymreinforce.tasks import cups
from tests import made

POLICIES = ("small", "large", "people")


def rows(prompts: int = 6, policies: tuple[str, ...] = POLICIES) -> list[dict[str, Any]]:
    """One row of each policy for each prompt, policy after policy: no group stands together."""
    questions = list(itertools.islice(cups.draw_cups("train", seed=0), prompts))
    return [
        {
            "question": question.text,
            "gold_answer": str(question.positions[-1]),
            "policy": policy,
            "sample": 10 * number + index,
            "completion": question.worked_answer if index % 2 else " Answer: 1",
        }
        for index, policy in enumerate(policies)
        for number, question in enumerate(questions)
    ]


def jsonl(path: Path, values: list[Any]) -> Path:
    """Write a line of JSON for each value; a text is written as it is."""
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    content = ("\n".join(lines) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def parquet(path: Path, values: list[dict[str, Any]]) -> Path:
    """Write rows as parquet, their types by pyarrow."""
    pq.write_table(pa.Table.from_pylist(values), path)
    return path


def settings(runs: Path, policy: Path, path: Path, **overrides: Any) -> ExperimentConfig:
    """A small experiment on a foreign file; `source__format="trl"` sets source.format."""
    given = {"source__path": str(path), "policy__context": 64, **overrides}
    return made.config(runs, policy=policy, **given)


def bring(runs: Path, policy: Path, path: Path, **overrides: Any) -> Stores:
    """Import a file."""
    return imported.run_import(settings(runs, policy, path, **overrides))


def facts(found: Stores) -> Imported:
    return facts_of(found.rollouts)


def read(store: Store, contract: contracts.Contract) -> list[dict[str, Any]]:
    """All rows of all shards of a store."""
    tables = [contracts.read_table(store.path(name), contract) for name in store.planned]
    return [row for table in tables for row in table.to_pylist()]


def rollouts(found: Stores) -> list[dict[str, Any]]:
    return read(found.rollouts, contracts.ROLLOUTS)
