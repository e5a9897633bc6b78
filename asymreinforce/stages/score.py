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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.shard_names import first_shards, planned_samples
from asymreinforce.data.store import Store
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
    refuse = functools.partial(
        require_few, limit=reward.max_error_rate, grader=grader, where=store.directory
    )
    k = samples or planned_samples(rollouts)
    scale = counting(reward)
    # shards of an earlier plan stay in the plan
    shards = {*first_shards(rollouts, samples=k), *store.planned}
    # chunk after chunk, so that the gold answers of a chunk are looked up once
    shards_in_order = sorted(shards, key=lambda name: (chunk_of(name), name))
    missing = [n for n in shards_in_order if not is_judged(store, rollouts, n)]
    counted = store.facts.get("k") == k and store.facts.get("scale") == scale
    if not missing and counted and store.is_done():
        say(f"score: complete, nothing to do ({store.directory})")
        facts = facts_of(store)
        refuse(facts.timeout + facts.error, rows=facts.rows)
        return Scored(store, facts)
    with store.held(), freed_at_once():
        # checked again under the lease: another process may have judged some in the meantime
        missing = [n for n in missing if not is_judged(store, rollouts, n)]
        if missing:
            judge_shards(
                missing,
                rollouts=rollouts,
                prompts=prompts,
                store=store,
                reward=reward,
                plan=shards_in_order,
                refuse=refuse,
                progress=progress,
                crew=crew,
            )
        store.plan(shards_in_order)  # also removes files that a killed run left half-written
        facts = count_verdicts(rollouts, store, samples=k, reward=reward)
        refuse(facts.timeout + facts.error, rows=facts.rows)
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


def is_judged(store: Store, rollouts: Store, name: str) -> bool:
    """Tell whether a shard's verdicts are whole, and of the current version of its rollouts."""
    receipt, judged = store.receipt(name), rollouts.receipt(name)
    return (
        receipt is not None
        and judged is not None
        and receipt.facts.get("rollouts_sha256") == judged.sha256
        and store.is_valid(name)
    )


def judge_shards(
    missing: list[str],
    *,
    rollouts: Store,
    prompts: Path,
    store: Store,
    reward: RewardConfig,
    plan: list[str],
    refuse: Callable[..., None],
    progress: Progress,
    crew: Workers | None,
) -> None:
    """Check all rollouts and prompts to be judged, then judge and publish shard after shard."""
    questions = Questions(prompts)
    pa.default_memory_pool().release_unused()
    chunks = {
        chunk: [rollouts.path(name) for name in plan if chunk_of(name) == chunk]
        for chunk in dict.fromkeys(map(chunk_of, missing))
    }
    questions.check(chunks)
    require_usable(store.identity["grader"]["name"], questions.tables(), where=prompts)
    total = sum(_rows_of_shard(rollouts, name) for name in plan)
    done = total - sum(_rows_of_shard(rollouts, name) for name in missing)
    workers = reward.workers or len(os.sched_getaffinity(0))
    started = time.monotonic()
    failures: list[str] = []
    unjudged = late = 0
    start = functools.partial(
        shard_judge,
        rollouts=rollouts.directory.resolve(),
        prompts=prompts.resolve(),
        grader=store.identity["grader"],
        reward=reward,
    )
    with progress("score", total=total, unit="completions", done=done) as advance:
        shards = (
            crew(start, missing)
            if crew
            else judged_here(
                missing,
                rollouts=rollouts,
                questions=questions,
                grader=store.identity["grader"],
                reward=reward.model_copy(update={"workers": workers}),
                advance=advance,
            )
        )
        with contextlib.closing(shards):
            for number, (name, result) in enumerate(shards):
                if not number:
                    store.plan(plan)  # only now is the grader known to work
                failures = [*failures, *result.facts["failures"]][:EXAMPLES]
                publish_verdicts(store, name, result.rows, rollouts=rollouts)
                # without a crew, `judged_here` advances part by part
                advance(len(result.rows) if crew else 0)
                unjudged += result.facts["unjudged"]
                late += result.facts["out_of_time"]
                # measured against all rows: if it is too many now, the other rows cannot change it
                refuse(unjudged, rows=total, examples=failures)
    for failure in failures:
        say(f"score: {failure}")
    if late:
        say(
            f"score: {late} answers were not proven right in {reward.cpu_limit_s:g} s of CPU time "
            "and count as wrong (reward.cpu_limit_s)"
        )
    store.record(
        run_provenance(
            workers=workers,
            seconds=round(time.monotonic() - started, 3),
            shards=len(missing),
            failures=failures,
            out_of_time=late,
        )
    )


def judged_here(
    names: list[str],
    *,
    rollouts: Store,
    questions: Questions,
    grader: dict[str, str],
    reward: RewardConfig,
    advance: Advance,
) -> Shards:
    """Judge shards by one pool of graders in this process; yield the shards in order."""
    # rows stream to the pool across shard borders, so that no grader waits for the end of a shard
    with grader_pool(grader["name"], reward) as pool:
        rows = read_rows(names, rollouts=rollouts, questions=questions)
        with contextlib.closing(pool.grade(rows)) as verdicts:
            for name in names:
                keys = read_shard(rollouts, name, KEY_COLUMNS)
                judged: list[Verdict] = []
                while part := list(itertools.islice(verdicts, min(ROWS, len(keys) - len(judged)))):
                    judged += part
                    advance(len(part))
                yield name, made_of(keys, judged, grader=grader)


def publish_verdicts(store: Store, name: str, rows: pa.Table, *, rollouts: Store) -> None:
    """Publish a shard of verdicts with the checksum of its rollout shard."""
    judged = rollouts.receipt(name)
    if judged is None:
        raise InputError(f"{rollouts.directory / name}: vanished while it was judged")
    facts = {"rows": len(rows), "rollouts_sha256": judged.sha256}
    contracts.publish_table(store, name, contracts.VERDICTS, rows, facts=facts)


def _rows_of_shard(rollouts: Store, name: str) -> int:
    receipt = rollouts.receipt(name)
    return int(receipt.facts["rows"]) if receipt else 0
