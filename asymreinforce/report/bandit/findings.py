"""Write the findings of a theory bench as sentences, and compare them with the paper."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from asymreinforce.report.bandit.axes import signed_offset
from asymreinforce.report.bandit.bench import Bench, Row
from asymreinforce.report.bandit.sweeps import UPDATES, learning_baseline
from asymreinforce.report.bandit.theorems import policy_improvement, section_5_1
from asymreinforce.report.bandit.words import (
    BEYOND,
    SINGLE,
    Finding,
    below_critical,
    compare_with_paper,
    count_of,
    join_words,
    offset_of,
    range_text,
    reward_share,
    width_of,
)

FLAT = 0.02
"""If final rewards differ by less than this share of the best arm's, no transition is visible."""


def bench_findings(bench: Bench, experiment: str) -> list[Finding]:
    """Return the findings of a bench; a finding is left out if the bench has no chains for it."""
    return list(FINDINGS[experiment](bench))


def _phase_diagram(bench: Bench) -> Iterator[Finding]:
    bench = bench.of_first("steps").near
    rows = {steps: bench.only(steps=steps).chains for steps in bench.values("steps")}
    longest = max(rows)
    below, above = below_critical(rows[longest]), [c for c in rows[longest] if c["offset"] > 0]
    if below and above:
        top = max(below, key=reward_share)
        yield Finding(
            BEYOND,
            f"With {longest:,} steps an iteration, reward ends at {reward_share(top):.3f} of the "
            f"best arm's at V − V^µ = {signed_offset(top['offset'])}, the best V below V^µ, and "
            f"at {range_text(map(reward_share, above))} for V above V^µ.",
        )
    flattest = min(rows, key=lambda steps: width_of(map(reward_share, rows[steps])))
    if width_of(map(reward_share, rows[flattest])) < FLAT:
        yield Finding(
            BEYOND,
            f"With {flattest:,} steps an iteration, the transition almost vanishes: every V "
            f"ends at {range_text(map(reward_share, rows[flattest]))}.",
        )


def _stale_mu(bench: Bench) -> Iterator[Finding]:
    """Find, for each refresh interval, the V from which chains collapse as with a frozen mu."""
    bench = bench.of_first("steps").near
    frozen = max(bench.only(steps=max(bench.values("steps"))).chains, key=offset_of)
    if frozen["offset"] > 0:
        starts = {
            steps: _lowest_offset_on_arm(bench.only(steps=steps).chains, arm=frozen["top_arm"])
            for steps in bench.values("steps")
        }
        yield Finding(
            BEYOND,
            f"The collapse onto the first winner ({reward_share(frozen):.3f} of the best arm's "
            f"reward) begins at V − V^µ = {_list_starts(starts)}.",
        )
    top = max(bench.chains, key=reward_share)
    yield Finding(
        BEYOND,
        f"Highest: {reward_share(top):.3f} of the best arm's reward at V − V^µ = "
        f"{signed_offset(top['offset'])} with N = {top['steps']:,}.",
    )


def _lowest_offset_on_arm(chains: Sequence[Row], *, arm: int) -> float | None:
    """Return the lowest V - V^mu from which on all chains end on `arm`; None if none does."""
    onset = None
    for chain in sorted(chains, key=offset_of, reverse=True):
        if chain["top_arm"] != arm or chain["top_probability"] <= SINGLE:
            break
        onset = offset_of(chain)
    return onset


def _list_starts(starts: Mapping[int, float | None]) -> str:
    said = [
        f"{signed_offset(at)} for N = {steps:,}" for steps, at in starts.items() if at is not None
    ]
    never = [f"nowhere for N = {steps:,}" for steps, at in starts.items() if at is None]
    return join_words([*said, *never])


def _sampled_groups(bench: Bench) -> Iterator[Finding]:
    bench = bench.of_first("group_size", "sampling_seed")
    low = [c for c in bench.chains if c["baseline"] < 0]
    high = [c for c in bench.chains if c["baseline"] >= 0]
    sizes = join_words(bench.values("group_size"))
    if low and high:
        kept = sum(c["top_probability"] <= SINGLE for c in low)
        single = sum(c["top_probability"] > SINGLE for c in high)
        yield compare_with_paper(
            kept == len(low) and single == len(high),
            f"The critical value of the group mean is 0 for G = {sizes}: {count_of(kept, low)} "
            f"below 0 keep several arms, {count_of(single, high)} at 0 and above end on one arm.",
        )
    nearest = min(bench.values("baseline"), key=abs)
    noises = [
        median(c["noise"] or 0.0 for c in bench.only(group_size=size, baseline=nearest).chains)
        for size in bench.values("group_size")
    ]
    yield Finding(
        BEYOND,
        f"The noise of an update depends on G: {join_words(f'{noise:.3f}' for noise in noises)} "
        f"for G = {sizes}, at baseline {signed_offset(nearest)}.",
    )


def _rival_updates(bench: Bench) -> Iterator[Finding]:
    bench = bench.of_first("update", "samples", "sampling_seed")
    baseline = learning_baseline(bench)
    for samples in bench.values("samples"):
        part = bench.only(samples=samples, baseline=baseline)
        ends = {
            name: median(map(reward_share, chains))
            for update, name in UPDATES.items()
            if (chains := part.only(update=update).chains)
        }
        if len(ends) < 2:
            continue
        best = max(ends, key=lambda name: ends[name])
        how = "in expectation" if samples == 0 else f"from {samples} sampled arms a step"
        numbers = join_words(f"{name} {share:.3f}" for name, share in ends.items())
        yield compare_with_paper(
            best == UPDATES["asymre"],
            f"The paper's language models end highest with AsymRE at −0.1. In this bench, {how} "
            f"at V − V^µ = {signed_offset(baseline)}, {best} ends highest: {numbers} of the best "
            "arm's reward (medians over draws).",
        )


FINDINGS: dict[str, Callable[[Bench], Iterator[Finding]]] = {
    "section_5_1": section_5_1,
    "policy_improvement": policy_improvement,
    "phase_diagram": _phase_diagram,
    "stale_mu": _stale_mu,
    "sampled_groups": _sampled_groups,
    "rival_updates": _rival_updates,
}
