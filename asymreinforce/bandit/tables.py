"""The rows of a theory bench: chains, their traces, and the closed form on a dense grid of V.

Shapes: C chain, A arm, R recorded moment.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from asymreinforce.bandit.closed_form import (
    critical_value,
    iterated_limits,
    limit_at_mean,
    limit_below_mean,
    stable_arms,
)
from asymreinforce.bandit.config import BanditConfig, ChainSettings
from asymreinforce.bandit.contracts import BANDIT_CHAINS, BANDIT_LIMITS, BANDIT_TRACES
from asymreinforce.bandit.dynamics import reached_arm
from asymreinforce.bandit.problem import (
    Flow,
    behaviour_logits,
    expected_reward,
    flow_at_gap,
    policy_entropy,
    total_variation,
)
from asymreinforce.bandit.trajectory import Start, Trajectory, rewards_of
from asymreinforce.data import contracts

Columns = dict[str, Iterable[Any]]

OFFSETS = tuple(
    float(offset) for offset in [*-np.geomspace(1, 1e-4, 121), 0.0, *np.geomspace(1e-4, 0.3, 61)]
)
"""V - V^mu of the dense closed form, evenly spaced in the logarithm on both sides of 0."""


class ChainLimits(NamedTuple):
    """Each chain's limit (C, A), whether theory gives a limit (C,), and its number of arms (C,)."""

    policy_CA: Tensor
    known_C: Tensor
    support_C: Tensor


def limits_of(flow: Flow, policy_CA: Tensor, *, reached_C: Tensor) -> ChainLimits:
    """Return the limit of each chain from pi_0 (C, A); `reached_C` names the arm for V > V^mu."""
    result_CA = torch.zeros_like(policy_CA)
    below_C, at_C = flow.gap_C > 0, flow.gap_C == 0
    if bool(below_C.any()):
        part = Flow(flow.drift_CA[below_C], flow.gap_C[below_C])
        result_CA[below_C] = limit_below_mean(part).policy_CA
    if bool(at_C.any()):
        result_CA[at_C] = limit_at_mean(
            Flow(flow.drift_CA[at_C], flow.gap_C[at_C]), policy_CA[at_C]
        )
    above_C = (flow.gap_C < 0) & (reached_C >= 0)
    result_CA[above_C, reached_C[above_C]] = 1.0
    return ChainLimits(result_CA, below_C | at_C | above_C, (result_CA > 0).sum(-1))


def of_batch(trajectory: Trajectory, *, first_chain: int) -> tuple[pa.Table, pa.Table]:
    """Return a batch's rows of BANDIT_CHAINS and BANDIT_TRACES, numbered from `first_chain`."""
    state = trajectory.start
    limits = _chain_limits(trajectory)
    names = range(first_chain, first_chain + len(state.batch.chains))
    chains = {
        "chain": list(names),
        **_setting_columns(state),
        **_problem_columns(state),
        **_outcome_columns(trajectory, state, limits),
    }
    distance_RC = torch.stack([total_variation(p, limits.policy_CA) for p in trajectory.policy_RCA])
    traces = _trace_columns(trajectory, state, chains=list(names)) | {
        "total_variation": _known_values(distance_RC, limits.known_C),
        "limit_reward": _iterated_rewards(trajectory),
    }
    return contracts.make_table(BANDIT_CHAINS, chains), contracts.make_table(BANDIT_TRACES, traces)


def _chain_limits(trajectory: Trajectory) -> ChainLimits:
    state, batch = trajectory.start, trajectory.start.batch
    flow = state.flow
    # for V > V^mu theory names no arm if updates are sampled or mu changes
    reached_C = torch.full_like(flow.gap_C, -1, dtype=torch.int64)
    if batch.update == "asymre" and not batch.samples and batch.iterations == 1:
        reached_C = reached_arm(trajectory.logits_CA, flow, lr_C=state.lr_C)
    limits = limits_of(flow, state.logits_CA.softmax(-1), reached_C=reached_C)
    has_limit = batch.update == "asymre" and batch.iterations == 1
    return limits._replace(known_C=limits.known_C & has_limit)


def _setting_columns(state: Start) -> Columns:
    batch = state.batch
    shared = {
        name: getattr(batch, name)
        for name in ("update", "steps", "iterations", "samples", "group_size")
    }
    shared["baseline_reference"] = state.config.baseline_reference
    per_chain: Columns = {
        name: [getattr(chain, name) for chain in batch.chains] for name in ChainSettings._fields
    }
    return per_chain | {name: [value] * len(batch.chains) for name, value in shared.items()}


def _problem_columns(state: Start) -> Columns:
    behaviour_CA, gap_C, chains = state.logits_CA.softmax(-1), state.flow.gap_C, state.batch.chains
    critical = {
        chain.seed: critical_value(behaviour_A, rewards_A)
        for chain, behaviour_A, rewards_A in zip(
            chains, behaviour_CA, state.rewards_CA, strict=True
        )
    }
    return {
        "offset": (-gap_C).tolist(),
        "value": (state.mean_C - gap_C).tolist(),
        "behaviour_reward": state.mean_C.tolist(),
        "best_reward": state.rewards_CA.amax(-1).tolist(),
        "critical_value": [critical[chain.seed] for chain in chains],
    }


def _outcome_columns(trajectory: Trajectory, state: Start, limits: ChainLimits) -> Columns:
    policy_CA = trajectory.policy_RCA[-1]
    top = policy_CA.max(-1)
    noise_C = trajectory.noise_C
    return {
        "reward": expected_reward(policy_CA, state.rewards_CA).tolist(),
        "entropy": policy_entropy(policy_CA).tolist(),
        "top_arm": top.indices.tolist(),
        "top_probability": top.values.tolist(),
        "policy": policy_CA.tolist(),
        "limit_reward": _known_values(
            expected_reward(limits.policy_CA, state.rewards_CA), limits.known_C
        ),
        "limit_entropy": _known_values(policy_entropy(limits.policy_CA), limits.known_C),
        "limit_support": _known_values(limits.support_C, limits.known_C),
        "total_variation": _known_values(
            total_variation(policy_CA, limits.policy_CA), limits.known_C
        ),
        "noise": [None] * len(policy_CA) if noise_C is None else noise_C.tolist(),
    }


def _trace_columns(trajectory: Trajectory, state: Start, *, chains: list[int]) -> Columns:
    moments, count = len(trajectory.steps_R), len(chains)
    reward_RC = (trajectory.policy_RCA * state.rewards_CA).sum(-1)
    return {
        "chain": chains * moments,
        "step": np.repeat(trajectory.steps_R, count).tolist(),
        "iteration": np.repeat(trajectory.iteration_R, count).tolist(),
        "behaviour_reward": trajectory.behaviour_reward_RC.flatten().tolist(),
        "reward": reward_RC.flatten().tolist(),
        "entropy": policy_entropy(trajectory.policy_RCA).flatten().tolist(),
    }


def _iterated_rewards(trajectory: Trajectory) -> list[float | None]:
    """Return the rewards of Theorem 4.3 at the recorded iterations, for constant V < V^mu."""
    state, batch, gap_C = trajectory.start, trajectory.start.batch, trajectory.start.flow.gap_C
    is_constant = state.config.baseline_reference in ("zero", "initial_mean")
    rewards_RC = torch.zeros(len(trajectory.steps_R), len(batch.chains), dtype=torch.float64)
    known_C = gap_C > 0
    if batch.update != "asymre" or batch.iterations == 1 or not is_constant:
        known_C = torch.zeros_like(known_C)
    if bool(known_C.any()):
        rewards_RC[:, known_C] = iterated_limits(
            state.logits_CA[known_C].softmax(-1),
            state.rewards_CA[known_C],
            (state.mean_C - gap_C)[known_C],
            iterations=batch.iterations,
        )[trajectory.iteration_R]
    return _known_values(rewards_RC, known_C)


def _known_values(values: Tensor, known_C: Tensor) -> list[Any]:
    """Flatten values whose last dimension is the chain, with None for chains that are not known."""
    known = known_C.expand_as(values).flatten().tolist()
    flat = values.flatten().tolist()
    return [value if keep else None for value, keep in zip(flat, known, strict=True)]


def closed_forms(config: BanditConfig) -> pa.Table:
    """Return the rows of BANDIT_LIMITS: the closed form of each draw on a dense grid of V."""
    offsets_C = torch.tensor(OFFSETS, dtype=torch.float64)
    behaviour_CA = (
        behaviour_logits(config.arms, config.logit_scale).softmax(-1).repeat(len(OFFSETS), 1)
    )
    parts = []
    for seed in config.seed:
        rewards_CA = rewards_of(config, seed).repeat(len(OFFSETS), 1)
        flow = flow_at_gap(behaviour_CA, rewards_CA, -offsets_C)
        # for V > V^mu pi_0 decides the arm: the table holds the range of all possible limits
        unknown_C = torch.full_like(offsets_C, -1, dtype=torch.int64)
        limits = limits_of(flow, behaviour_CA, reached_C=unknown_C)
        possible_CA = stable_arms(flow)
        above_C = offsets_C > 0
        reward_C = expected_reward(limits.policy_CA, rewards_CA)
        lowest_C = rewards_CA.masked_fill(~possible_CA, torch.inf).amin(-1)
        highest_C = rewards_CA.masked_fill(~possible_CA, -torch.inf).amax(-1)
        columns: Columns = {
            "seed": [seed] * len(OFFSETS),
            "offset": OFFSETS,
            "value": (expected_reward(behaviour_CA, rewards_CA) + offsets_C).tolist(),
            "support": torch.where(above_C, possible_CA.sum(-1), limits.support_C).tolist(),
            "lowest_reward": torch.where(above_C, lowest_C, reward_C).tolist(),
            "highest_reward": torch.where(above_C, highest_C, reward_C).tolist(),
        }
        parts.append(contracts.make_table(BANDIT_LIMITS, columns))
    return pa.concat_tables(parts)
