"""References V-hat(x) by hand, against naive loops in fp64, and the identities between them."""

import math
from collections.abc import Callable
from statistics import mean, median, variance

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asymreinforce.algorithm.limit_policy import limit_support
from asymreinforce.algorithm.objective import loss as linear_loss
from asymreinforce.algorithm.references import (
    dataset_mean,
    group_mean,
    group_quantile,
    length_weighted_mean,
    minimum_variance,
    running_mean,
    shrunk_group_mean,
)
from asymreinforce.algorithm.tokens import TokenLogps
from asymreinforce.errors import ConfigError, InputError
from tests.fixtures import table_policy as naive
from tests.fixtures.limit_cases import naive_support
from tests.fixtures.step_gradients import gradient

TOLERANCE = 1e-10
MEAN = 0.2


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rounded(values_B: Tensor) -> list[float]:
    return [round(value, 12) for value in values_B.tolist()]


def group_places(groups: list[int], i: int) -> list[int]:
    return [j for j, group in enumerate(groups) if group == groups[i]]


def naive_quantile(rewards: list[float], groups: list[int], quantile: float) -> list[float]:
    """The lowest reward of the group with a share of at least `quantile` at or below it."""
    values = []
    for i in range(len(rewards)):
        group = [rewards[j] for j in group_places(groups, i)]
        shares = {r: sum(other <= r for other in group) / len(group) for r in group}
        values.append(min(r for r, share in shares.items() if share >= quantile - 1e-12))
    return values


def naive_shrunk(rewards: list[float], groups: list[int], centre: float) -> list[float]:
    by_group: dict[int, list[float]] = {}
    for reward, group in zip(rewards, groups, strict=True):
        by_group.setdefault(group, []).append(reward)
    several = [group for group in by_group.values() if len(group) > 1]
    noise = mean(variance(group) / len(group) for group in several)
    spread = mean((mean(group) - centre) ** 2 for group in by_group.values())
    shrinkage = noise / (noise + spread) if noise else 0.0
    return [(1 - shrinkage) * mean(by_group[group]) + shrinkage * centre for group in groups]


def naive_weighted(rewards: list[float], groups: list[int], lengths: list[int]) -> list[float]:
    values = []
    for i in range(len(rewards)):
        group = group_places(groups, i)
        tokens = math.fsum(lengths[j] for j in group)
        values.append(math.fsum(lengths[j] * rewards[j] for j in group) / tokens)
    return values


def made_up_log_weights(lengths: list[int]) -> list[float]:
    return [math.sin(length) for length in lengths]


def naive_minimum_variance(
    rewards: list[float], groups: list[int], lengths: list[int]
) -> list[float]:
    weights = [
        length * math.exp(log_weight) ** 2
        for length, log_weight in zip(lengths, made_up_log_weights(lengths), strict=True)
    ]
    values = []
    for i in range(len(rewards)):
        group = group_places(groups, i)
        total = math.fsum(weights[j] for j in group)
        values.append(math.fsum(weights[j] * rewards[j] for j in group) / total)
    return values


# quantile


def test_the_default_quantile_of_eight_is_the_fourth_lowest_reward() -> None:
    rewards_B = tensor([8, 1, 7, 2, 6, 3, 5, 4])
    assert group_quantile(rewards_B, torch.zeros(8).long(), quantile=0.4).tolist() == [4.0] * 8


def test_a_hard_prompt_has_the_low_reward_and_an_easy_one_the_high_reward() -> None:
    """Five samples at 0.4: hard is p <= 0.6 (Wu et al. 2025, Eq. 4)."""
    rewards_B = tensor([1, -1, 1, 1, -1, 1, 1, 1, -1, 1])
    groups_B = torch.tensor([4, 4, 4, 4, 4, 2, 2, 2, 2, 2])
    values_B = group_quantile(rewards_B, groups_B, quantile=0.4)
    assert values_B.tolist() == [-1.0] * 5 + [1.0] * 5
    assert (rewards_B - values_B).tolist() == [2, 0, 2, 2, 0, 0, 0, 0, -2, 0]


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_the_quantile_at_a_half_of_an_odd_group_is_its_median(size: int) -> None:
    rewards_B = torch.randn(
        size, dtype=torch.float64, generator=torch.Generator().manual_seed(size)
    )
    values_B = group_quantile(rewards_B, torch.zeros(size).long(), quantile=0.5)
    assert values_B.tolist() == [median(rewards_B.tolist())] * size


def test_the_quantile_at_one_is_the_highest_reward_and_a_small_one_the_lowest() -> None:
    rewards_B, groups_B = tensor([3, 1, 2, 5, 4]), torch.tensor([0, 0, 0, 1, 1])
    assert group_quantile(rewards_B, groups_B, quantile=1.0).tolist() == [3, 3, 3, 5, 5]
    assert group_quantile(rewards_B, groups_B, quantile=1e-6).tolist() == [1, 1, 1, 4, 4]


@pytest.mark.parametrize(("quantile", "size", "rank"), [(0.28, 25, 7), (0.55, 100, 55)])
def test_rounding_of_quantile_times_size_takes_no_higher_reward(
    quantile: float, size: int, rank: int
) -> None:
    """0.28 * 25 is 7.000000000000001 in floating point."""
    assert math.ceil(quantile * size) == rank + 1
    rewards_B = torch.arange(1.0, size + 1)
    values_B = group_quantile(rewards_B, torch.zeros(size).long(), quantile=quantile)
    assert values_B.tolist() == [rank] * size


@pytest.mark.parametrize("quantile", [0.0, -0.1, 1.01, math.nan])
def test_a_quantile_out_of_range_is_an_error_that_names_it(quantile: float) -> None:
    with pytest.raises(ConfigError, match=f"at most 1, not {quantile}"):
        group_quantile(tensor([1, 0]), torch.tensor([0, 0]), quantile=quantile)


# shrunk mean


def test_shrinkage_by_hand() -> None:
    """Means 0.5 and 1; v = (1/4 + 0)/2; s = (0.5^2 + 0)/2 about 1; lambda = 1/2."""
    rewards_B, groups_B = tensor([1, 0, 1, 1]), torch.tensor([0, 0, 1, 1])
    values_B = shrunk_group_mean(rewards_B, groups_B, mean=1.0)
    assert rounded(values_B) == [0.75, 0.75, 1.0, 1.0]


def test_groups_that_do_not_differ_from_the_mean_have_the_mean() -> None:
    rewards_B, groups_B = tensor([1, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    assert shrunk_group_mean(rewards_B, groups_B, mean=0.5).tolist() == [0.5] * 4


def test_groups_without_noise_keep_their_own_mean() -> None:
    rewards_B, groups_B = tensor([1, 1, 0, 0]), torch.tensor([0, 0, 1, 1])
    assert shrunk_group_mean(rewards_B, groups_B, mean=0.5).tolist() == [1, 1, 0, 0]
    assert shrunk_group_mean(rewards_B, groups_B, mean=1.0).tolist() == [1, 1, 0, 0]
    same_B = tensor([1, 1, 1, 1])
    assert shrunk_group_mean(same_B, groups_B, mean=1.0).tolist() == [1] * 4


def test_a_group_of_one_is_shrunk_by_the_noise_of_the_others() -> None:
    """v = 1/4 from the group of two; s = (0 + 0.5^2)/2 = 1/8 about 0.5; lambda = 2/3."""
    rewards_B, groups_B = tensor([1, 0, 1]), torch.tensor([0, 0, 1])
    assert rounded(shrunk_group_mean(rewards_B, groups_B, mean=0.5)) == [
        *(0.5, 0.5),
        round(1 / 3 + 2 / 3 * 0.5, 12),
    ]


def test_shrinking_groups_of_one_alone_is_an_error_that_says_how_to_mend_it() -> None:
    with pytest.raises(ConfigError, match=r"raise sampling\.samples_per_prompt"):
        shrunk_group_mean(tensor([1, 0]), torch.tensor([0, 1]), mean=0.5)


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
def test_the_shrunk_mean_is_nearer_to_the_true_mean_than_group_or_data_set_mean(
    spread: float,
) -> None:
    """64 prompts of 4 samples, their success rates normal about 0.5: errors averaged over draws."""
    generator = torch.Generator().manual_seed(1)
    groups_B = torch.arange(64).repeat_interleave(4)
    errors = torch.zeros(3, dtype=torch.float64)
    for _ in range(50):
        drawn_P = torch.randn(64, dtype=torch.float64, generator=generator)
        rates_B = (0.5 + spread * drawn_P).clamp(0, 1)[groups_B]
        rewards_B = torch.bernoulli(rates_B, generator=generator)
        estimates = (
            shrunk_group_mean(rewards_B, groups_B, mean=0.5),
            group_mean(rewards_B, groups_B),
            dataset_mean(rewards_B, groups_B, mean=0.5),
        )
        errors += torch.stack([(values_B - rates_B).square().mean() for values_B in estimates])
    shrunk, own, shared = errors.tolist()
    assert shrunk < 0.8 * own
    # at hardly any spread the shared mean is best: the noise counted in s leaves lambda near 1/2
    assert (shrunk < shared) == (spread == 0.3)


# weighted mean


def test_the_weighted_mean_by_hand() -> None:
    rewards_B, groups_B = tensor([1, 0, 1, -1]), torch.tensor([5, 5, 3, 3])
    values_B = length_weighted_mean(rewards_B, groups_B, torch.tensor([1, 3, 6, 2]))
    assert values_B.tolist() == [0.25, 0.25, 0.5, 0.5]


def test_equal_lengths_make_the_weighted_mean_the_group_mean() -> None:
    sequences = naive.batch(4, rewards=(-1, 0, 0.5, 1))
    values_B = length_weighted_mean(
        sequences.rewards_B, sequences.groups_B, torch.full_like(sequences.groups_B, 7)
    )
    own_B = group_mean(sequences.rewards_B, sequences.groups_B)
    torch.testing.assert_close(values_B, own_B, rtol=0, atol=1e-15)


def test_long_successes_lift_the_weighted_mean_and_long_failures_lower_it() -> None:
    rewards_B, groups_B = tensor([1, -1]), torch.tensor([0, 0])
    assert length_weighted_mean(rewards_B, groups_B, torch.tensor([9, 1])).tolist() == [0.8] * 2
    assert length_weighted_mean(rewards_B, groups_B, torch.tensor([1, 9])).tolist() == [-0.8] * 2


def test_a_prompt_without_a_token_is_an_error() -> None:
    with pytest.raises(InputError, match="without a completion token"):
        length_weighted_mean(tensor([1, 0, 1]), torch.tensor([0, 0, 1]), torch.tensor([2, 1, 0]))


# means of several sets


def test_each_sequence_is_measured_by_the_mean_of_its_own_set() -> None:
    """As in replay, where the groups of a step are of several rounds."""
    rewards_B, groups_B = tensor([1, 0, 1, -1, 1, 1]), torch.tensor([5, 5, 3, 3, 4, 4])
    means_B = tensor([0.25, 0.25, -0.5, -0.5, 0.25, 0.25])
    assert dataset_mean(rewards_B, groups_B, mean=means_B).tolist() == means_B.tolist()
    noise = (0.5 / 2 + 2.0 / 2 + 0.0) / 3
    spread = (0.25**2 + 0.5**2 + 0.75**2) / 3
    share = noise / (noise + spread)
    by_hand = [(1 - share) * m + share * c for m, c in ((0.5, 0.25), (0.0, -0.5), (1.0, 0.25))]
    expected = [value for value in by_hand for _ in range(2)]
    values_B = shrunk_group_mean(rewards_B, groups_B, mean=means_B)
    torch.testing.assert_close(values_B, tensor(expected), rtol=0, atol=1e-15)
    for reference in (dataset_mean, shrunk_group_mean):
        of_one, of_each = (
            reference(rewards_B, groups_B, mean=mean) for mean in (0.2, tensor([0.2] * 6))
        )
        torch.testing.assert_close(of_one, of_each, rtol=0, atol=0)


def test_the_running_mean_is_the_exponential_mean_of_the_rounds() -> None:
    values: list[float] = []
    means = [0.5, -1.0, 0.25, 1.0]
    for of_round in means:
        values.append(running_mean(values[-1] if values else None, of_round, decay=0.75))
    assert values == pytest.approx([0.5, 0.125, 0.15625, 0.3671875], abs=1e-15)
    weights = [0.75**3, 0.25 * 0.75**2, 0.25 * 0.75, 0.25]
    assert values[-1] == pytest.approx(sum(w * m for w, m in zip(weights, means, strict=True)))
    assert running_mean(0.3, -0.7, decay=0.0) == -0.7


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_makes_no_mean_is_an_error(decay: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to below 1"):
        running_mean(0.0, 1.0, decay=decay)


# all of them

Reference = Callable[[Tensor, Tensor, Tensor], Tensor]
Naive = Callable[[list[float], list[int], list[int]], list[float]]

REFERENCES: dict[str, tuple[Reference, Naive]] = {
    "group_quantile": (
        lambda rewards_B, groups_B, lengths_B: group_quantile(rewards_B, groups_B, quantile=0.4),
        lambda rewards, groups, lengths: naive_quantile(rewards, groups, 0.4),
    ),
    "shrunk_group_mean": (
        lambda rewards_B, groups_B, lengths_B: shrunk_group_mean(rewards_B, groups_B, mean=MEAN),
        lambda rewards, groups, lengths: naive_shrunk(rewards, groups, MEAN),
    ),
    "length_weighted_mean": (length_weighted_mean, naive_weighted),
    "minimum_variance": (
        lambda rewards_B, groups_B, lengths_B: minimum_variance(
            rewards_B, groups_B, lengths_B, tensor(made_up_log_weights(lengths_B.tolist()))
        ),
        naive_minimum_variance,
    ),
    # completions of a prompt are called equal where their lengths are
    "limit_support": (
        lambda rewards_B, groups_B, lengths_B: limit_support(
            rewards_B, groups_B, lengths_B, support=0.5
        ),
        lambda rewards, groups, lengths: naive_support(rewards, groups, lengths, 0.5),
    ),
}


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[float], list[int], list[int]]:
    """Rewards, groups of unequal sizes in any order with one of two at least, lengths."""
    groups = draw(st.lists(st.integers(-2, 4), min_size=1, max_size=20))
    groups = draw(st.permutations([*groups, groups[0]]))
    count = len(groups)
    rewards = draw(st.lists(st.sampled_from([-1.0, 0.0, 0.3, 1.0]), min_size=count, max_size=count))
    lengths = draw(st.lists(st.integers(1, 2048), min_size=count, max_size=count))
    return rewards, groups, lengths


@pytest.mark.parametrize("name", REFERENCES)
@given(batches())
def test_a_reference_is_that_of_the_naive_loop(
    name: str, batch: tuple[list[float], list[int], list[int]]
) -> None:
    rewards, groups, lengths = batch
    function, loop = REFERENCES[name]
    values_B = function(tensor(rewards), torch.tensor(groups), torch.tensor(lengths))
    torch.testing.assert_close(values_B, tensor(loop(rewards, groups, lengths)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_gradient_with_a_reference_is_that_of_the_naive_loop(name: str) -> None:
    function, loop = REFERENCES[name]
    for seed in range(3):
        table, sequences = naive.logits(seed).requires_grad_(), naive.batch(seed + 50)
        reference_B = function(sequences.rewards_B, sequences.groups_B, sequences.lengths_B)
        advantages_B = sequences.rewards_B - reference_B + 0.1
        logps_C = naive.token_logps(table, sequences)
        logp_B = TokenLogps(logps_C, logps_C, advantages_B, sequences.sequence_of_C).logp_B
        count = len(sequences.prompts)
        computed = gradient(table, linear_loss(logp_B, advantages_B, sequences=count))

        values = loop(sequences.rewards, sequences.prompts, sequences.lengths_B.tolist())
        terms = [
            (reward - value + 0.1) * naive.log_of(factors)
            for reward, value, factors in zip(
                sequences.rewards, values, naive.probabilities(table, sequences), strict=True
            )
        ]
        written = gradient(table, -torch.stack(terms).sum() / count)
        assert float(written.abs().max()) > 1e-3
        assert float((computed - written).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_reference_has_the_dtype_of_the_rewards_and_lies_among_them(
    name: str, dtype: torch.dtype
) -> None:
    sequences = naive.batch(2)
    rewards_B = sequences.rewards_B.to(dtype)
    values_B = REFERENCES[name][0](rewards_B, sequences.groups_B, sequences.lengths_B)
    assert values_B.dtype == dtype
    assert -1 <= float(values_B.min()) < float(values_B.max()) <= 1
