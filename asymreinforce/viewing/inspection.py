"""Inspect stored rollouts: prompts with their groups, rewards, advantages and verdicts.

Nothing is written. Only texts that are shown are read; counts read verdicts and keys, one chunk of
prompts at a time.

Shapes: B rollouts of a chunk.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts
from asymreinforce.data.contracts import UNJUDGED
from asymreinforce.data.store import Store
from asymreinforce.rewards.scale import Rewards
from asymreinforce.viewing.judged_chunks import (
    KEYS,
    ROW,
    JudgedChunk,
    mean_reward,
    read_judged,
    read_shards,
)
from asymreinforce.viewing.stored import StoredSet

UNSCORED: Any = ("not scored", None, None, None)


class View(NamedTuple):
    """The settings from which rewards and advantages are computed."""

    baseline: float = -0.1
    reference: str = "group_mean"
    reward: RewardConfig = RewardConfig()
    others: Mapping[str, Store] = {}
    """Verdicts of further graders of `reward.graders`, by name."""


class Row(NamedTuple):
    """A rollout to show; reward, advantage and answer are None without a verdict."""

    prompt_id: str
    sample: int
    policy: str
    finish_reason: str
    outcome: str
    reward: float | None
    advantage: float | None
    """None also if the row is left out of its group."""
    answer: str | None


class Group(NamedTuple):
    """A prompt with all its rollouts, and the texts of those that match."""

    prompt: dict[str, Any]
    rows: list[Row]
    matching: list[int]
    """Indices into `rows`; `texts` and `tokens` have such keys."""
    texts: dict[int, str]
    tokens: dict[int, int]
    prompt_token_ids: list[list[int]]
    """The distinct token ids of the prompt: one list, unless several policies wrote rollouts."""


Match = Callable[[Row], bool]


def matching_groups(
    stored: StoredSet, verdicts: Store | None, view: View, *, match: Match, limit: int
) -> list[Group]:
    """Return the first `limit` prompts with a matching rollout, with their whole groups."""
    matches: list[Group] = []
    for names, rows in _read_chunks(stored, verdicts, view):
        by_prompt: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_prompt[row.prompt_id].append(row)
        chosen = {
            prompt_id: group for prompt_id, group in by_prompt.items() if any(map(match, group))
        }
        kept = dict(list(chosen.items())[: limit - len(matches)])
        if kept:
            matches += _with_texts(stored, names, kept, match)
        if len(matches) >= limit:
            break
    return matches


class Count(NamedTuple):
    """Counts of one kind of rollouts; shares of correct rollouts are shares of `judged`."""

    rows: int = 0
    prompts: int = 0
    judged: int = 0
    correct: int = 0
    no_answer: int = 0
    truncated: int = 0


def count_by_kind(
    stored: StoredSet, verdicts: Store | None, view: View, *, match: Match
) -> dict[str, dict[str, Count]]:
    """Count the matching rollouts by policy, level and subject; `all` holds the total."""
    kinds = _prompt_kinds(stored.directory)
    totals: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for _, rows in _read_chunks(stored, verdicts, view):
        seen: set[tuple[str, str, str]] = set()
        for row in filter(match, rows):
            level, subject = kinds.get(row.prompt_id, (None, None))
            names = {"all": "all", "policy": row.policy, "level": level, "subject": subject}
            for kind, name in names.items():
                if name is None:
                    continue
                count = totals[kind][name]
                # a prompt has several rollouts, and counts once
                if (kind, name, row.prompt_id) not in seen:
                    seen.add((kind, name, row.prompt_id))
                    count["prompts"] += 1
                count["rows"] += 1
                count["judged"] += row.outcome not in (*UNJUDGED, "not scored")
                count["correct"] += row.outcome == "correct"
                count["no_answer"] += row.outcome == "no_answer"
                count["truncated"] += row.finish_reason == "length"
    return {
        kind: {name: Count(**by_name[name]) for name in sorted(by_name)}
        for kind, by_name in totals.items()
    }


def _read_chunks(
    stored: StoredSet, verdicts: Store | None, view: View
) -> Iterator[tuple[list[str], list[Row]]]:
    """Yield each chunk's shards and rollouts, the rollouts in order of prompt and sample."""
    chunks = functools.partial(
        read_judged, stored, verdicts, reward=view.reward, others=view.others
    )
    mean = None
    if view.reference == "dataset_mean" and verdicts:
        # the mean over the data set must be known before the first advantage
        mean = mean_reward(chunks(), where=verdicts.directory)
    for chunk in chunks():
        yield chunk.names, _shown_rollouts(chunk, view, mean)


def _shown_rollouts(chunk: JudgedChunk, view: View, mean: float | None) -> list[Row]:
    table, rewards = chunk.verdicts, chunk.rewards
    judged: dict[tuple[str, int], tuple[Any, ...]] = {}
    if table is not None:
        advantage_B = _kept_advantages(table, rewards, view, mean) if rewards else None
        columns = (table.column(name).to_pylist() for name in (*ROW, "extracted_answer"))
        rows = zip(*columns, chunk.outcomes, strict=True)
        for number, (prompt_id, sample, answer, outcome) in enumerate(rows):
            reward = advantage = None
            if rewards and advantage_B is not None and rewards.kept_B[number]:
                reward, advantage = float(rewards.reward_B[number]), float(advantage_B[number])
            judged[prompt_id, sample] = (outcome, reward, advantage, answer)
    keys = zip(*(chunk.keys.column(name).to_pylist() for name in KEYS), strict=True)
    return [Row(*key, *judged.get(key[:2], UNSCORED)) for key in keys]


def _kept_advantages(
    table: pa.Table, rewards: Rewards, view: View, mean: float | None
) -> np.ndarray:
    """Return A = r - V for rows that are kept, and NaN for other rows."""
    # by the code that trains, so that the shown advantages are those of training
    import torch

    from asymreinforce.algorithm.objective import advantages

    ids = pc.unique(table.column("prompt_id"))
    group_B = pc.index_in(table.column("prompt_id"), value_set=ids).to_numpy()
    advantage_B = np.full(len(table), np.nan)
    if rewards.kept_B.any():
        advantage_B[rewards.kept_B] = advantages(
            torch.from_numpy(rewards.reward_B[rewards.kept_B]),
            torch.from_numpy(group_B[rewards.kept_B].astype(np.int64)),
            baseline=view.baseline,
            reference_name=view.reference,
            mean=mean,
        ).numpy()
    return advantage_B


def _with_texts(
    stored: StoredSet, names: list[str], chosen: dict[str, list[Row]], match: Match
) -> list[Group]:
    columns = ["prompt_id", "sample", "text", "completion_token_ids", "prompt_token_ids"]
    table = read_shards(stored.rollouts, names, contracts.ROLLOUTS, columns)
    wanted = pa.array(list(chosen), pa.string())
    table = table.filter(pc.is_in(table.column("prompt_id"), value_set=wanted))
    by_key: dict[tuple[str, int], dict[str, Any]] = {}
    token_ids: dict[str, list[list[int]]] = defaultdict(list)
    for row in table.to_pylist():
        by_key[row["prompt_id"], row["sample"]] = row
        if row["prompt_token_ids"] not in (known := token_ids[row["prompt_id"]]):
            known.append(row["prompt_token_ids"])
    prompts = _read_prompts(stored.directory, list(chosen))
    result = []
    for prompt_id, rows in chosen.items():
        own = [by_key[prompt_id, row.sample] for row in rows]
        matching = [place for place, row in enumerate(rows) if match(row)]
        result.append(
            Group(
                prompts.get(prompt_id, {"prompt_id": prompt_id}),
                rows,
                matching,
                {place: own[place]["text"] for place in matching},
                {place: len(row["completion_token_ids"]) for place, row in enumerate(own)},
                token_ids[prompt_id],
            )
        )
    return result


def _read_prompts(directory: Path, wanted: list[str]) -> dict[str, dict[str, Any]]:
    """Read the wanted prompts from the experiment's prompt files, by prompt id."""
    by_id: dict[str, dict[str, Any]] = {}
    for rows in contracts.prompt_tables(directory, split="train", wanted=wanted):
        by_id |= {row["prompt_id"]: row for row in rows.to_pylist()}
    return by_id


def _prompt_kinds(directory: Path) -> dict[str, tuple[str | None, str | None]]:
    """Return the level and the subject of each prompt that has either."""
    columns = ["prompt_id", "level", "subject"]
    by_id: dict[str, tuple[str | None, str | None]] = {}
    for rows in contracts.prompt_tables(directory, split="train", columns=columns):
        has_kind = pc.or_(*(pc.is_valid(rows.column(name)) for name in columns[1:]))
        for row in rows.filter(has_kind).to_pylist():
            by_id[row["prompt_id"]] = (row["level"], row["subject"])
    return by_id
