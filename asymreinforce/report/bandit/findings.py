"""What a theory bench found, in sentences made of its numbers, beside what the paper says."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from asymreinforce.report.bandit.axes import signed
from asymreinforce.report.bandit.bench import Bench, Row
from asymreinforce.report.bandit.sweeps import UPDATES, learning_baseline
from asymreinforce.report.bandit.theorems import policy_improvement, section_5_1
from asymreinforce.report.bandit.words import (
    BEYOND,
    SINGLE,
    Finding,
    below_critical,
    interval,
    listed,
    of,
    offset,
    share,
    verdict,
    width,
)

FLAT = 0.02
"""Share of the best arm's reward within which all V end where there is no transition to see."""


def findings(bench: Bench, experiment: str) -> list[Finding]:
    """Say what came out; what a bench has no chains for is left out."""
    return FINDINGS[experiment](bench)


def _phase_diagram(bench: Bench) -> list[Finding]:
    bench = bench.of_first("steps")
    bench = bench.only(seed=bench.near_seed)
    rows = {steps: bench.only(steps=steps).chains for steps in bench.values("steps")}
    longest = max(rows)
    below, above = below_critical(rows[longest]), [c for c in rows[longest] if c["offset"] > 0]
    found = []
    if below and above:
        top = max(below, key=share)
        found.append(
            Finding(
                BEYOND,
                f"With {longest:,} steps an iteration reward ends at {share(top):.3f} of the best "
                f"arm's at V − V^µ = {signed(top['offset'])}, the best below V^µ, and at "
                f"{interval(map(share, above))} above it.",
            )
        )
    flattest = min(rows, key=lambda steps: width(map(share, rows[steps])))
    if width(map(share, rows[flattest])) < FLAT:
        found.append(
            Finding(
                BEYOND,
                f"With {flattest:,} steps an iteration the transition is all but gone: every V "
                f"ends at {interval(map(share, rows[flattest]))}.",
            )
        )
    return found


def _stale_mu(bench: Bench) -> list[Finding]:
    """Tell from which V on a refresh interval ends on the arm that a frozen mu collapses to."""
    bench = bench.of_first("steps")
    bench = bench.only(seed=bench.near_seed)
    frozen = max(bench.only(steps=max(bench.values("steps"))).chains, key=offset)
    starts = {
        steps: _onset(bench.only(steps=steps).chains, arm=frozen["top_arm"])
        for steps in bench.values("steps")
    }
    top = max(bench.chains, key=share)
    highest = Finding(
        BEYOND,
        f"Highest: {share(top):.3f} of the best arm's reward at V − V^µ = {signed(top['offset'])} "
        f"with N = {top['steps']:,}.",
    )
    if frozen["offset"] <= 0:
        return [highest]
    return [
        Finding(
            BEYOND,
            f"The collapse onto the first winner ({share(frozen):.3f} of the best arm's reward) "
            f"begins at V − V^µ = {_starts(starts)}.",
        ),
        highest,
    ]


def _onset(chains: Sequence[Row], *, arm: int) -> float | None:
    """Return the lowest V - V^mu from which on every chain ends on an arm, None where none does."""
    onset = None
    for chain in sorted(chains, key=offset, reverse=True):
        if chain["top_arm"] != arm or chain["top_probability"] <= SINGLE:
            break
        onset = offset(chain)
    return onset


def _starts(starts: Mapping[int, float | None]) -> str:
    said = [f"{signed(at)} for N = {steps:,}" for steps, at in starts.items() if at is not None]
    never = [f"nowhere for N = {steps:,}" for steps, at in starts.items() if at is None]
    return listed([*said, *never])


def _sampled_groups(bench: Bench) -> list[Finding]:
    bench = bench.of_first("group_size", "sampling_seed")
    low = [c for c in bench.chains if c["baseline"] < 0]
    high = [c for c in bench.chains if c["baseline"] >= 0]
    sizes = listed(bench.values("group_size"))
    found = []
    if low and high:
        kept = sum(c["top_probability"] <= SINGLE for c in low)
        single = sum(c["top_probability"] > SINGLE for c in high)
        found.append(
            Finding(
                verdict(kept == len(low) and single == len(high)),
                f"The critical value of the group mean is 0 for G = {sizes}: {of(kept, low)} "
                f"below keep several arms, {of(single, high)} at 0 and above end on one.",
            )
        )
    nearest = min(bench.values("baseline"), key=abs)
    noises = [
        median(c["noise"] or 0.0 for c in bench.only(group_size=size, baseline=nearest).chains)
        for size in bench.values("group_size")
    ]
    found.append(
        Finding(
            BEYOND,
            f"The noise of an update depends on G: {listed(f'{noise:.3f}' for noise in noises)} "
            f"for G = {sizes}, at baseline {signed(nearest)}.",
        )
    )
    return found


def _rival_updates(bench: Bench) -> list[Finding]:
    bench = bench.of_first("update", "samples", "sampling_seed")
    baseline = learning_baseline(bench)
    found = []
    for samples in bench.values("samples"):
        part = bench.only(samples=samples, baseline=baseline)
        ends = {
            name: median(map(share, chains))
            for update, name in UPDATES.items()
            if (chains := part.only(update=update).chains)
        }
        if len(ends) > 1:
            best = max(ends, key=lambda name: ends[name])
            how = "in expectation" if samples == 0 else f"from {samples} sampled arms a step"
            numbers = listed(f"{name} {share:.3f}" for name, share in ends.items())
            found.append(
                Finding(
                    verdict(best == UPDATES["asymre"]),
                    f"The paper's language models end highest with AsymRE at −0.1; here, {how} "
                    f"at V − V^µ = {signed(baseline)}, {best} does: {numbers} of the best arm's "
                    "reward (medians over draws).",
                )
            )
    return found


FINDINGS: dict[str, Callable[[Bench], list[Finding]]] = {
    "section_5_1": section_5_1,
    "policy_improvement": policy_improvement,
    "phase_diagram": _phase_diagram,
    "stale_mu": _stale_mu,
    "sampled_groups": _sampled_groups,
    "rival_updates": _rival_updates,
}
