"""Run a batch of chains from pi_0 = mu through its iterations, and record the policies.

An iteration is a number of gradient steps with a frozen mu, followed by mu <- pi.

Shapes: C chain, A arm, R recorded moment.
"""

from collections.abc import Callable
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asymreinforce.bandit.config import BanditConfig, Batch
from asymreinforce.bandit.dynamics import WEIGHTS, WeightInputs, advance_logits, ascend_drifts
from asymreinforce.bandit.problem import (
    Flow,
    behaviour_logits,
    draw_rewards,
    expected_reward,
    flow_at_gap,
    value_gap,
)
from asymreinforce.bandit.sampling import Sampler
from asymreinforce.progress import Advance


class Frozen(NamedTuple):
    """Constants of an iteration: mu (C, A), its mean reward V^mu (C,), the expected update."""

    behaviour_CA: Tensor
    mean_C: Tensor
    flow: Flow


class Start(NamedTuple):
    """A batch at its start: logits of pi_0 = mu_0 and rewards (C, A), settings (C,)."""

    batch: Batch
    config: BanditConfig
    logits_CA: Tensor
    rewards_CA: Tensor
    baseline_C: Tensor
    lr_C: Tensor
    mean_C: Tensor

    @property
    def flow(self) -> Flow:
        """The expected update of the first iteration."""
        return self.freeze(self.logits_CA).flow

    def freeze(self, logits_CA: Tensor) -> Frozen:
        """Return the constants of an iteration after mu <- pi = softmax(logits)."""
        behaviour_CA = logits_CA.softmax(-1)
        mean_C = expected_reward(behaviour_CA, self.rewards_CA)
        gap_C = value_gap(
            self.baseline_C,
            reference=self.config.baseline_reference,
            mean_C=mean_C,
            first_mean_C=self.mean_C,
            group_size=self.batch.group_size,
        )
        return Frozen(behaviour_CA, mean_C, flow_at_gap(behaviour_CA, self.rewards_CA, gap_C))


class Trajectory(NamedTuple):
    """The recorded moments of a batch, its final logits, and the noise of its sampled drifts."""

    start: Start
    steps_R: list[int]
    iteration_R: list[int]
    policy_RCA: Tensor
    behaviour_reward_RC: Tensor
    logits_CA: Tensor
    noise_C: Tensor | None


def start_state(batch: Batch, config: BanditConfig) -> Start:
    """Return the first state of a batch."""
    chains = batch.chains
    logits_CA = behaviour_logits(config.arms, config.logit_scale).repeat(len(chains), 1)
    rewards_CA = torch.stack([rewards_of(config, chain.seed) for chain in chains])
    return Start(
        batch,
        config,
        logits_CA,
        rewards_CA,
        torch.tensor([chain.baseline for chain in chains], dtype=torch.float64),
        torch.tensor([chain.lr for chain in chains], dtype=torch.float64),
        expected_reward(logits_CA.softmax(-1), rewards_CA),
    )


def rewards_of(config: BanditConfig, seed: int) -> Tensor:
    """Return the rewards (A,) of the configuration, or drawn by `seed` if it gives none."""
    if config.rewards is not None:
        return torch.tensor(config.rewards, dtype=torch.float64)
    return draw_rewards(seed, config.arms)


def run_batch(batch: Batch, config: BanditConfig, *, progress: Advance) -> Trajectory:
    """Run all iterations of a batch."""
    state, sampler = start_state(batch, config), Sampler(batch) if batch.samples else None
    moments = recorded_steps(batch, config.records)
    logits_CA, policies, behaviour_rewards = state.logits_CA, [], []
    for first in range(0, batch.steps * batch.iterations, batch.steps):
        frozen = state.freeze(logits_CA)
        move = _make_mover(frozen, state, sampler)
        # policies are recorded between moves, so an iteration stops at each recorded step
        stops = sorted({first, *moments, first + batch.steps})
        stops = [stop for stop in stops if first <= stop <= first + batch.steps]
        for current_step, next_step in pairwise(stops):
            if current_step in moments:
                policies.append(logits_CA.softmax(-1))
                behaviour_rewards.append(frozen.mean_C)
            logits_CA = move(logits_CA, next_step - current_step)
            progress((next_step - current_step) * len(batch.chains))
    policies.append(logits_CA.softmax(-1))
    behaviour_rewards.append(frozen.mean_C)
    return Trajectory(
        state,
        moments,
        [step // batch.steps for step in moments],
        torch.stack(policies),
        torch.stack(behaviour_rewards),
        logits_CA,
        sampler.noise if sampler else None,
    )


def recorded_steps(batch: Batch, records: int) -> list[int]:
    """Return the recorded steps, including 0 and the last step.

    The steps are spread evenly over log(step) if there is one iteration, else over the ends of
    iterations.
    """
    if batch.iterations == 1:
        inner = np.geomspace(1, batch.steps, records - 1).round()
        return sorted({0, *(int(step) for step in inner)})
    ends = np.linspace(0, batch.iterations, min(records, batch.iterations + 1)).round()
    return sorted({int(end) * batch.steps for end in ends})


def _make_mover(
    frozen: Frozen, state: Start, sampler: Sampler | None
) -> Callable[[Tensor, int], Tensor]:
    """Return the function (logits, steps) -> logits that advances an iteration."""
    update = state.batch.update
    if update == "asymre" and sampler is None:
        return lambda logits_CA, steps: advance_logits(
            logits_CA, frozen.flow, lr_C=state.lr_C, steps=steps
        )
    weigh = WEIGHTS.get(update)
    value_C1 = (frozen.mean_C - frozen.flow.gap_C)[:, None]
    setting = WeightInputs(frozen.behaviour_CA, state.rewards_CA - value_C1, state.config.clip)
    return lambda logits_CA, steps: ascend_drifts(
        logits_CA,
        sampler.drifts(frozen.behaviour_CA, state.rewards_CA, flow=frozen.flow, steps=steps)
        if sampler
        else repeat(frozen.flow.drift_CA, steps),
        lr_C=state.lr_C,
        weight=(lambda policy_CA: weigh(policy_CA, setting)) if weigh else None,
    )
