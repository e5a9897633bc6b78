"""Measure whether a higher baseline trades coverage for accuracy: pass@k, answers, entropy.

Accuracy is pass@1. A policy that always gives the same answer has pass@k = pass@1; a policy that
varies its answers covers more prompts at k > 1. `rewards/sums.py` has the formulas. Curves are
means over the seeds of a setting, up to the largest k that all evaluations allow.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.data import contracts
from asymreinforce.data.shard_names import published_shards
from asymreinforce.data.store import Store
from asymreinforce.report.commands import readable_stores, rollout_sets
from asymreinforce.report.evaluated import ArmEnds, scale_of
from asymreinforce.report.groups import ArmGroup, group_label
from asymreinforce.report.records import Experiment
from asymreinforce.report.words import count_words, percent_text
from asymreinforce.rewards.scale import rewards_of
from asymreinforce.rewards.sums import Sums, seen_at_k

MOST_ROWS = 100_000
"""Pass@k of mu on its rollouts is computed from about this many verdicts at most."""

MORE_SAMPLES = 16
"""With fewer samples of a prompt, the page advises the reader to draw more."""


class Line(NamedTuple):
    """Coverage of one policy, or the mean over a setting's policies; curves start at k = 1."""

    name: str
    runs: int
    pass_at_K: tuple[float, ...]
    answers_at_K: tuple[float, ...]
    """Distinct answers among k samples of a prompt; empty if they were not counted."""
    completions_at_K: tuple[float, ...]
    entropy: float | None
    """Mean entropy of a completion in nats."""

    @property
    def accuracy(self) -> float:
        """pass@1, a share of 1."""
        return self.pass_at_K[0]

    @property
    def covered(self) -> float:
        """pass@k at the largest k, a share of 1."""
        return self.pass_at_K[-1]


class GroupCoverage(NamedTuple):
    """The coverage of a group of arms at the last step."""

    group: ArmGroup
    line: Line


class Coverage(NamedTuple):
    """The coverage of mu and of every evaluated setting, at k = 1..`k`."""

    k: int
    behaviour: Line | None
    settings: tuple[GroupCoverage, ...]
    rollouts: Line | None
    """mu on its own rollouts of the training prompts; k goes up to the size of a group."""


def read_coverage(
    experiment: Experiment, groups: Sequence[ArmGroup], ends: Mapping[str, ArmEnds]
) -> Coverage | None:
    """Return the curves of mu and of each group; None if no evaluation is on disk."""
    if not ends:
        return None
    # arms that share mu share one Sums object, so that its identity counts each mu once
    of_mu = {id(end.behaviour): end.behaviour for end in ends.values() if end.behaviour}
    every = [*(end.last for end in ends.values()), *of_mu.values()]
    k = min(sums.k for sums in every)
    settings = tuple(
        GroupCoverage(group, _mean_line(group_label(group, groups), own, k))
        for group in groups
        if (own := [ends[arm.id].last for arm in group.arms if arm.id in ends])
    )
    behaviour = _mean_line("µ", list(of_mu.values()), k) if of_mu else None
    return Coverage(k, behaviour, settings, _rollout_line(experiment))


def _mean_line(name: str, sums: Sequence[Sums], k: int) -> Line:
    entropies = [run.entropy for run in sums if run.entropy is not None]
    return Line(
        name,
        len(sums),
        _mean_curve((run.pass_at_K for run in sums), k),
        _mean_curve((run.answers_at_K for run in sums), k),
        _mean_curve((run.completions_at_K for run in sums), k),
        sum(entropies) / len(entropies) if len(entropies) == len(sums) else None,
    )


def _mean_curve(curves: Iterable[tuple[float, ...]], k: int) -> tuple[float, ...]:
    return tuple(float(value) for value in np.mean([curve[:k] for curve in curves], axis=0))


def _rollout_line(experiment: Experiment) -> Line | None:
    """Return pass@k of mu on its training rollouts; None if the set is not unique."""
    verdicts = _verdicts_of_behaviour(experiment)
    if verdicts is None or not experiment.arms:
        return None
    rows = _read_verdicts(verdicts)
    if rows is None:
        return None
    kept_B = (given := rewards_of(rows, scale_of(experiment.arms[0].settings))).kept_B
    prompt_B = rows.column("prompt_id").combine_chunks().dictionary_encode().indices.to_numpy()
    kept_P = np.bincount(prompt_B[kept_B], minlength=1)
    right_P = np.bincount(prompt_B[kept_B & given.correct_B], minlength=len(kept_P))
    judged_P = kept_P > 0
    if not judged_P.any():
        return None
    # pass@k is unbiased only for k up to the number of samples, so the smallest group decides
    k = int(kept_P[judged_P].min())
    curve = seen_at_k(kept_P[judged_P], right_P[judged_P], k).mean(0)
    name = f"µ on {int(judged_P.sum()):,} training prompts"
    return Line(name, 1, tuple(float(value) for value in curve), (), (), None)


def _verdicts_of_behaviour(experiment: Experiment) -> Store | None:
    """Return the verdicts on the rollouts of mu; None unless there is exactly one such set."""
    # rollouts of later rounds have other sampling seeds, so the seed of the arms tells mu's set
    seeds = {arm.sampling_seed for arm in experiment.arms}
    sets = rollout_sets(experiment.directory)
    own = {name for name, seed in sets.items() if seed in seeds} or set(sets)
    if len(own) != 1:
        return None
    judged = readable_stores(experiment.directory / "verdicts")
    stores = [store for store in judged if store.identity.get("rollouts") in own]
    return stores[0] if len(stores) == 1 else None


def _read_verdicts(store: Store) -> pa.Table | None:
    """Read whole chunks of prompts until there are `MOST_ROWS` rows; None if no row has a score."""
    columns = ["prompt_id", "sample", "status", "score", "truncated"]
    # whole chunks, so that every prompt has all samples of its group
    by_chunk: dict[str, list[str]] = {}
    for name in published_shards(store):
        by_chunk.setdefault(Path(name).stem.rsplit("-", 1)[-1], []).append(name)
    tables: list[pa.Table] = []
    for names in by_chunk.values():
        tables.append(contracts.read_shards(store, names, contracts.VERDICTS, columns=columns))
        if sum(map(len, tables)) >= MOST_ROWS:
            break
    rows = pa.concat_tables(tables) if tables else None
    return rows if rows is not None and pc.count(rows.column("score")).as_py() else None


def pass_at_words(counts: Iterable[int]) -> str:
    """Name pass@k by the numbers of samples: "pass@8" or "pass@k, k from 2 to 8"."""
    distinct = sorted({count for count in counts if count > 1})
    if not distinct:
        return "pass@k"
    first, last = distinct[0], distinct[-1]
    return f"pass@{first}" if first == last else f"pass@k, k from {first} to {last}"


def first_crossing(before_K: Sequence[float], after_K: Sequence[float]) -> int | None:
    """Return the first k at which pass@k before training is above pass@k after; None if no k is.

    If this k is above 1, the trained policy is better with few samples and covers fewer prompts
    with many.
    """
    pairs = enumerate(zip(before_K, after_K, strict=False), start=1)
    return next((k for k, (before, after) in pairs if before > after), None)


def coverage_findings(coverage: Coverage) -> list[str]:
    """Return sentences that say whether settings gained accuracy at the expense of coverage."""
    return list(_coverage_sentences(coverage))


def _coverage_sentences(coverage: Coverage) -> Iterator[str]:
    uncollapsed = [item for item in coverage.settings if not _has_collapsed(item.group)]
    if coverage.k > 1 and coverage.behaviour:
        yield from _against_behaviour(coverage, coverage.behaviour, uncollapsed)
    if coverage.k > 1:
        yield from _between_baselines(coverage, uncollapsed)
    more = f"evaluation.sampling.samples_per_prompt={MORE_SAMPLES}"
    advice = f"; 'asymrl evaluate {more}' draws more from the same weights"
    yield (
        f"The evaluation drew {count_words(coverage.k, 'sample')} of each prompt, so k ends at "
        f"{coverage.k}{advice if coverage.k < MORE_SAMPLES else ''}."
    )
    if (own := coverage.rollouts) and len(own.pass_at_K) > coverage.k:
        yield (
            f"µ's rollouts of the training prompts have more samples: pass@1 "
            f"{percent_text(own.accuracy)}, "
            f"pass@{len(own.pass_at_K)} {percent_text(own.covered)} ({own.name})."
        )


def _has_collapsed(group: ArmGroup) -> bool:
    """Tell whether any seed of a setting collapsed."""
    # a mean over collapsed and healthy seeds describes no policy, so such settings are left out
    return any(arm.fate == "collapsed" for arm in group.arms)


def _against_behaviour(
    coverage: Coverage, mu: Line, uncollapsed: Sequence[GroupCoverage]
) -> Iterator[str]:
    """Name the settings that ended with a higher accuracy than mu but a lower pass@k."""
    risen = [item for item in uncollapsed if item.line.accuracy > mu.accuracy]
    if not risen:
        return
    bought = [item for item in risen if first_crossing(mu.pass_at_K, item.line.pass_at_K)]
    settings = count_words(len(risen), "setting")
    head = f"Of {settings} that ended above µ in accuracy without collapse, "
    at = f"pass@{coverage.k} ({percent_text(mu.covered)} for µ)"
    if not bought:
        yield f"{head}none covers fewer prompts than µ at any k up to {coverage.k}: {at} rose too."
        return
    names = "; ".join(
        f"{item.line.name} from k = {first_crossing(mu.pass_at_K, item.line.pass_at_K)}"
        for item in bought[:8]
    )
    cover = "covers" if len(bought) == 1 else "cover"
    yield f"{head}{len(bought)} {cover} fewer prompts than µ at some k ({names}); {at}."


def _between_baselines(coverage: Coverage, uncollapsed: Sequence[GroupCoverage]) -> Iterator[str]:
    """Count the pairs of baselines in which the higher one changed accuracy and coverage."""
    pairs = [
        (low.line, high.line)
        for low, high in itertools.combinations(uncollapsed, 2)
        if low.group.baseline is not None
        and high.group.baseline is not None
        and low.group.family == high.group.family
        and low.group.baseline < high.group.baseline
    ]
    if not pairs:
        return
    traded = sum(h.accuracy > low.accuracy and h.covered < low.covered for low, h in pairs)
    together = sum((h.accuracy - low.accuracy) * (h.covered - low.covered) > 0 for low, h in pairs)
    fewer = sum(h.answers_at_K[-1] < low.answers_at_K[-1] for low, h in pairs)
    trades = "trades coverage for accuracy"
    if 2 * traded <= len(pairs):
        trades = "does not trade coverage for accuracy here"
    yield (
        f"Among baselines that did not collapse, a higher baseline {trades}. Of "
        f"{count_words(len(pairs), 'pair')} of baselines, the higher baseline has more accuracy "
        f"and less pass@{coverage.k} in {traded}, moves both the same way in {together}, and gives "
        f"fewer distinct answers among {coverage.k} samples in {fewer}."
    )
