"""Compare the chains with the paper's statements on its bandit (Arnal et al. 2025, Sec. 5.1)."""

import itertools
from collections.abc import Iterator, Sequence

from asymreinforce.report.bandit.axes import signed_offset
from asymreinforce.report.bandit.bench import Bench, Row
from asymreinforce.report.bandit.words import (
    AGREES,
    BEYOND,
    DIFFERS,
    SINGLE,
    Finding,
    below_critical,
    compare_with_paper,
    count_of,
    final_reward,
    offset_of,
    power_text,
    reward_share,
)
from asymreinforce.report.words import count_words

CONVERGED = 1e-3
"""A chain has converged if its total variation to the closed form is below this."""

CLEAR = 0.005
"""The smallest difference of reward that is reported; chains that differ less end alike."""

PAPERS_BEST = 0.89
"""The best expected reward over V in the paper's Fig. 1, read off; the best arm has 0.999."""


def section_5_1(bench: Bench) -> Iterator[Finding]:
    """Compare the chains with Fig. 1, Fig. 7 and Theorem 4.2."""
    yield from limit_findings(bench)
    yield from entropy_findings(bench)
    yield from peak_findings(bench)


def limit_findings(bench: Bench) -> Iterator[Finding]:
    """Compare the chains with Theorem 4.2 and with the support in Fig. 1."""
    bench, near = _with_known_limit(bench)
    if below := below_critical(bench.chains):
        distances = [chain["total_variation"] for chain in below]
        arrived = sum(distance < CONVERGED for distance in distances)
        yield compare_with_paper(
            arrived == len(below),
            f"Theorem 4.2's closed form holds within a total variation of {CONVERGED:g} for "
            f"{count_of(arrived, below)} with V < V^µ; the largest distance is "
            f"{power_text(max(distances))}.",
        )
    if below := below_critical(near):
        yield from _support_findings(below)
    if above := [chain for chain in bench.chains if chain["offset"] > 0]:
        single = sum(chain["top_probability"] > SINGLE for chain in above)
        text = f"Above V^µ, a single arm remains in {count_of(single, above)}."
        yield compare_with_paper(single == len(above), text)


def entropy_findings(bench: Bench) -> Iterator[Finding]:
    """Compare the chains with Fig. 7.

    Entropies are compared at the middle recorded moment; moments are evenly spaced in log(step).
    """
    bench, near = _with_known_limit(bench)
    if len(near) < 2:
        return
    traces = [bench.traces[chain["chain"]] for chain in near]
    moments = [trace[len(trace) // 2] for trace in traces]
    entropies = [moment["entropy"] for moment in moments]
    yield compare_with_paper(
        entropies == sorted(entropies, reverse=True),
        f"Entropy falls faster for larger V: after {moments[0]['step']:,} steps it is "
        f"{entropies[0]:.2f} nats at V − V^µ = {signed_offset(near[0]['offset'])} and "
        f"{entropies[-1]:.2f} at {signed_offset(near[-1]['offset'])}.",
    )


def peak_findings(bench: Bench) -> Iterator[Finding]:
    """Report the V at which reward is highest, unless it is the last V below V^mu (Fig. 1)."""
    bench, near = _with_known_limit(bench)
    below = below_critical(near)
    if len(near) < 2 or not below:
        return
    top, last = max(below, key=final_reward), below[-1]
    if top["reward"] < last["reward"] + CLEAR:
        return
    draws = [below_critical(bench.only(seed=seed).chains) for seed in bench.values("seed")]
    early = sum(max(map(final_reward, own)) > final_reward(own[-1]) + CLEAR for own in draws)
    paper = f"; the paper's best is about {PAPERS_BEST}" if bench.near_seed == 43 else ""
    yield Finding(
        DIFFERS,
        f"Reward does not rise all the way to V^µ: it is highest, {top['reward']:.3f}, at "
        f"V − V^µ = {signed_offset(top['offset'])} and {last['reward']:.3f} at "
        f"{signed_offset(last['offset'])}{paper}. It peaks early in {early} of {len(draws)} "
        "draws.",
    )


def _with_known_limit(bench: Bench) -> tuple[Bench, list[Row]]:
    """Return the chains whose limit has a closed form, and those of them in the first draw."""
    bench = bench.of_first()
    bench = bench._replace(chains=[c for c in bench.chains if c["total_variation"] is not None])
    return bench, sorted(bench.near.chains, key=offset_of) if bench.chains else []


def _support_findings(below: Sequence[Row]) -> Iterator[Finding]:
    supports = [chain["limit_support"] for chain in below]
    first, last = below[0], below[-1]
    yield compare_with_paper(
        supports == sorted(supports, reverse=True),
        f"The limit's support shrinks towards V^µ: {count_words(supports[0], 'arm')} at V − V^µ = "
        f"{signed_offset(first['offset'])}, {count_words(supports[-1], 'arm')} at "
        f"{signed_offset(last['offset'])}.",
    )
    if single := [chain["offset"] for chain in below if chain["limit_support"] == 1]:
        yield Finding(
            DIFFERS,
            "The support does not drop to a single arm at V^µ only: the limit is one arm "
            f"from V − V^µ = {signed_offset(single[0])} on.",
        )


def policy_improvement(bench: Bench) -> Iterator[Finding]:
    """Compare the chains with Fig. 2 and Theorem 4.3."""
    bench = bench.of_first()
    near = sorted(bench.near.chains, key=offset_of)
    # in the paper's Fig. 2, V = 0.525 and 0.54 end worse than V <= 0.5
    stable = [c["reward"] for c in near if c["value"] <= 0.5]
    late = [c for c in near if c["value"] > 0.52 and c["offset"] < 0]
    if stable and late and near[0]["baseline_reference"] == "zero":
        highest = max(chain["reward"] for chain in late)
        names = " and ".join(f"{chain['value']:.4g}" for chain in late)
        yield compare_with_paper(
            highest < min(stable),
            f"V = {names} end at {highest:.3f} or less; every V ≤ 0.5 ends at "
            f"{min(stable):.3f} or more.",
        )
    below = below_critical(bench.chains)
    if below:
        kept = sum(_never_falls(bench, chain) for chain in below)
        yield compare_with_paper(
            kept == len(below),
            f"Theorem 4.3: in {count_of(kept, below)} with V < V^µ reward never falls from one "
            "iteration to the next.",
        )
    yield from _around_critical(bench, below)


def _around_critical(bench: Bench, below: Sequence[Row]) -> Iterator[Finding]:
    """Compare the ends of chains on both sides of V_{0,mu} with Theorem 4.3."""
    if good := [chain for chain in below if chain["value"] < chain["critical_value"]]:
        shares = sorted(map(reward_share, good))
        yield Finding(
            AGREES if shares[0] > 1 - CLEAR else BEYOND,
            "For V < V₀,µ, Theorem 4.3 says that the policy ends on the best arm, but not after "
            f"how many iterations: the {len(good)} such chains stop at {shares[0]:.3f} to "
            f"{shares[-1]:.3f} of its reward.",
        )
    between = [c for c in below if c["value"] > c["critical_value"]]
    ends = {c["chain"]: bench.traces[c["chain"]][-1]["limit_reward"] for c in between}
    between = [c for c in between if ends[c["chain"]] is not None]
    if passing := [c for c in between if c["reward"] > ends[c["chain"]] + CLEAR]:
        example = passing[0]
        yield Finding(
            DIFFERS,
            f"Finite steps soften V₀,µ: {len(passing)} of {len(between)} chains between V₀,µ "
            "and V^µ end above as many iterations of the exact limits. For example, seed "
            f"{example['seed']} at V = {example['value']:.4g} ends at {example['reward']:.3f}, the "
            f"exact limits at {ends[example['chain']]:.3f}.",
        )


def _never_falls(bench: Bench, chain: Row) -> bool:
    rewards = [moment["reward"] for moment in bench.traces[chain["chain"]]]
    # 1e-9 allows for rounding
    return all(b >= a - 1e-9 for a, b in itertools.pairwise(rewards))
