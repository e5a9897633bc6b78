"""Score: let a grader judge every rollout, correct or not, and publish the verdicts.

    rollouts/<shard> + prompts --grader, in killable processes--> verdicts/<shard>

A verdict shard has the name and the rows of its rollout shard, and records that shard's checksum:
rollouts that were regenerated are judged again. Verdicts hold scores and no rewards; the reward
scale enters only the counts that are stored when this stage is complete.
"""

import contextlib
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.shard_names import first_shards, planned_samples, rows_of_shard
from asymreinforce.data.store import Store
from asymreinforce.data.verdict_sets import is_judged, publish_verdicts
from asymreinforce.errors import InputError
from asymreinforce.grading.graders import identify
from asymreinforce.grading.pool.pool import grader_pool
from asymreinforce.grading.questions import KEY_COLUMNS, Questions, require_usable
from asymreinforce.grading.shards import (
    EXAMPLES,
    ROWS,
    chunk_of,
    made_of,
    read_rows,
    read_shard,
    require_few,
    shard_judge,
)
from asymreinforce.grading.verdict import Verdict
from asymreinforce.progress import Advance, bar, say
from asymreinforce.rewards.counts import ScoreFacts, VerdictCounts
from asymreinforce.rewards.scale import counting
from asymreinforce.workers import Shards, Workers

Progress = Callable[..., AbstractContextManager[Advance]]


class Scored(NamedTuple):
    """The store of verdicts, and the counts over them."""

    store: Store
    facts: ScoreFacts


def verdict_store(
    *,
    rollouts: Store,
    prompts: Path,
    parent: Path,
    grader: str,
    reward: RewardConfig,
    pinned: Path | None = None,
) -> Store:
    """Return the store of a grader's verdicts on a set of rollouts; the store may be empty.

    Raises `ConfigError` if the grader does not exist, `InputError` if the prompts do not.
    """
    if not prompts.is_file():
        raise InputError(f"{prompts}: no such file; run 'asymrl init', or point at the prompts")
    identity = {
        "stage": "verdicts",
        "contract": contracts.VERDICTS.label,
        "rollouts": rollouts.hash,
        "prompts": files.sha256(prompts)[:16],
        "grader": identify(grader)._asdict(),
        "limits": reward.limits,
    }
    return Store(parent, identity, pinned=pinned)


def score(
    *,
    rollouts: Store,
    prompts: Path,
    parent: Path,
    grader: str,
    reward: RewardConfig,
    samples: int | None = None,
    pinned: Path | None = None,
    progress: Progress = bar,
    crew: Workers | None = None,
) -> Scored:
    """Judge every rollout whose verdict is missing, damaged, or of another version of the rollout.

    `prompts` is a file of the PROMPTS contract. The first `samples` rollouts of each prompt are
    judged and counted (None: all). Each worker of a `crew` has a pool of graders (None: one pool in
    this process). Raises `ConfigError` if the grader does not exist or cannot be imported, and
    `InputError` if rollouts or prompts are damaged, repeated or do not belong together; nothing is
    published in these cases. Raises `GraderError` if more rows than `reward.max_error_rate` allows
    could not be judged; the verdicts made so far are kept, and the store is not closed.
    """
    store = verdict_store(
        rollouts=rollouts,
        prompts=prompts,
        parent=parent,
        grader=grader,
        reward=reward,
        pinned=pinned,
    )
    work = _Scoring(rollouts, prompts, store, reward, progress, crew)
    k = samples or planned_samples(rollouts)
    scale = counting(reward)
    # shards of an earlier plan stay in the plan
    shards = {*first_shards(rollouts, samples=k), *store.planned}
    # chunk after chunk, so that the gold answers of a chunk are looked up once
    plan = sorted(shards, key=lambda name: (chunk_of(name), name))
    missing = work.missing(plan)
    counted = store.facts.get("k") == k and store.facts.get("scale") == scale
    if not missing and counted and store.is_done():
        say(f"score: complete, nothing to do ({store.directory})")
        facts = facts_of(store)
        work.refuse(facts.timeout + facts.error, rows=facts.rows)
        return Scored(store, facts)
    with store.held(), freed_at_once():
        # checked again under the lease: another process may have judged some in the meantime
        if missing := work.missing(missing):
            work.judge(missing, plan=plan)
        store.plan(plan)  # also removes files that a killed run left half-written
        facts = count_verdicts(rollouts, store, samples=k, reward=reward)
        work.refuse(facts.timeout + facts.error, rows=facts.rows)
        store.close({**facts._asdict(), "scale": scale})
    return Scored(store, facts)


def count_verdicts(
    rollouts: Store, store: Store, *, samples: int, reward: RewardConfig
) -> ScoreFacts:
    """Count the verdicts on the first samples of each prompt; read one chunk at a time."""
    tally = VerdictCounts(reward)
    for verdicts in ScoredRollouts(rollouts, store, samples=samples).verdict_columns():
        tally.add(verdicts)
    return tally.facts(k=samples)


@contextlib.contextmanager
def freed_at_once() -> Iterator[None]:
    """Let arrow return freed memory to the system at once while the block runs."""
    # arrow's own allocator keeps tens of megabytes
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()
        pa.set_memory_pool(before)


def facts_of(store: Store) -> ScoreFacts:
    """Return the counts that are stored in a complete set of verdicts."""
    return ScoreFacts(**{name: store.facts[name] for name in ScoreFacts._fields})


class _Scoring(NamedTuple):
    """The inputs and the store of the verdicts to be made."""

    rollouts: Store
    prompts: Path
    store: Store
    reward: RewardConfig
    progress: Progress
    crew: Workers | None

    @property
    def grader(self) -> dict[str, str]:
        """The name and version of the grader."""
        grader: dict[str, str] = self.store.identity["grader"]
        return grader

    def missing(self, names: list[str]) -> list[str]:
        """Return the shards whose verdicts are missing, damaged or of another version."""
        return [name for name in names if not is_judged(self.store, self.rollouts, name)]

    def refuse(self, unjudged: int, *, rows: int, examples: Sequence[str] = ()) -> None:
        """Raise `GraderError` if more rows could not be judged than `reward.max_error_rate`."""
        require_few(
            unjudged,
            rows=rows,
            examples=examples,
            limit=self.reward.max_error_rate,
            grader=self.grader["name"],
            where=self.store.directory,
        )

    def judge(self, missing: list[str], *, plan: list[str]) -> None:
        """Check all rollouts and prompts to be judged, then judge and publish shard after shard."""
        questions = Questions(self.prompts)
        pa.default_memory_pool().release_unused()
        chunks = {
            chunk: [self.rollouts.path(name) for name in plan if chunk_of(name) == chunk]
            for chunk in dict.fromkeys(map(chunk_of, missing))
        }
        questions.check(chunks)
        require_usable(self.grader["name"], questions.tables(), where=self.prompts)
        rows = {name: rows_of_shard(self.rollouts, name) for name in plan}
        total, left = sum(rows.values()), sum(rows[name] for name in missing)
        workers = self.reward.workers or len(os.sched_getaffinity(0))
        started = time.monotonic()
        failures: list[str] = []
        unjudged = late = 0
        with self.progress("score", total=total, unit="completions", done=total - left) as advance:
            shards = self._shards(missing, questions, workers=workers, advance=advance)
            with contextlib.closing(shards):
                for number, (name, result) in enumerate(shards):
                    if not number:
                        self.store.plan(plan)  # only now is the grader known to work
                    failures = [*failures, *result.facts["failures"]][:EXAMPLES]
                    publish_verdicts(self.store, name, result.rows, rollouts=self.rollouts)
                    # without a crew, `_judged_here` advances part by part
                    advance(len(result.rows) if self.crew else 0)
                    unjudged += result.facts["unjudged"]
                    late += result.facts["out_of_time"]
                    # measured against all rows: if it is too many now, the other rows cannot
                    # change it
                    self.refuse(unjudged, rows=total, examples=failures)
        for failure in failures:
            say(f"score: {failure}")
        if late:
            say(
                f"score: {late} answers were not proven right in {self.reward.cpu_limit_s:g} s of "
                "CPU time and count as wrong (reward.cpu_limit_s)"
            )
        self.store.record(
            run_provenance(
                workers=workers,
                seconds=round(time.monotonic() - started, 3),
                shards=len(missing),
                failures=failures,
                out_of_time=late,
            )
        )

    def _shards(
        self, names: list[str], questions: Questions, *, workers: int, advance: Advance
    ) -> Shards:
        """Return the judged shards: of the crew, or of one pool of graders in this process."""
        if self.crew is None:
            return self._judged_here(names, questions, workers=workers, advance=advance)
        start = functools.partial(
            shard_judge,
            rollouts=self.rollouts.directory.resolve(),
            prompts=self.prompts.resolve(),
            grader=self.grader,
            reward=self.reward,
        )
        return self.crew(start, names)

    def _judged_here(
        self, names: list[str], questions: Questions, *, workers: int, advance: Advance
    ) -> Shards:
        """Judge shards by one pool of graders in this process; yield the shards in order."""
        # rows stream to the pool across shard borders, so that no grader waits for the end of a
        # shard
        with grader_pool(self.grader["name"], self.reward, workers=workers) as pool:
            rows = read_rows(names, rollouts=self.rollouts, questions=questions)
            with contextlib.closing(pool.grade(rows)) as verdicts:
                for name in names:
                    keys = read_shard(self.rollouts, name, KEY_COLUMNS)
                    judged: list[Verdict] = []
                    while part := list(
                        itertools.islice(verdicts, min(ROWS, len(keys) - len(judged)))
                    ):
                        judged += part
                        advance(len(part))
                    yield name, made_of(keys, judged, grader=self.grader)
