"""The two ways to attend inside packed rows, against attention a sequence at a time in fp64."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.bias import CausalBias

from asymreinforce.errors import ConfigError
from asymreinforce.update import attention
from asymreinforce.update.attention.sdpa import SdpaPlan
from asymreinforce.update.packing import PackedRow, Sequences, pack_rows
from tests.fixtures import flash_kernel

HEADS, KEY_HEADS, WIDTH = 4, 2, 8


def row_of(lengths: list[tuple[int, list[int]]]) -> PackedRow:
    """A row of one block for each (prompt tokens, [completion tokens])."""
    prompts, completions = [], []
    for number, (prompt, owns) in enumerate(lengths):
        prompts += [np.full(prompt, number)] * len(owns)
        completions += [np.ones(own) for own in owns]
    (row,) = pack_rows(Sequences(prompts, completions), tokens=10_000)
    return row


ROWS = {
    "short blocks": [(3, [2, 4]), (5, [1]), (2, [3, 3, 1])],
    "long blocks": [(100, [60, 80]), (1, [150])],
    "both, alike and not": [(130, [20]), (9, [4]), (60, [30, 20]), (1, [2]), (2, [1, 1])],
}


def tensors(tokens: int) -> list[Tensor]:
    torch.manual_seed(0)
    heads = (HEADS, KEY_HEADS, KEY_HEADS)
    return [
        torch.randn(1, count, tokens, WIDTH, dtype=torch.float64, requires_grad=True)
        for count in heads
    ]


def sees(row: PackedRow, window: int | None) -> Tensor:
    """What each token sees, written token by token."""
    tokens = len(row.input_ids_T)
    seen_TT = torch.zeros(tokens, tokens, dtype=torch.bool)
    for block in row.segments:
        for segment in block:
            own = range(segment.start, segment.end)
            for query in own:
                for key in [*range(segment.prefix.start, segment.prefix.stop), *own]:
                    near = int(row.positions_T[query] - row.positions_T[key])
                    seen_TT[query, key] = 0 <= near < (window or tokens)
    return seen_TT


def reference(query: Tensor, key: Tensor, value: Tensor, seen_TT: Tensor) -> Tensor:
    repeats = HEADS // KEY_HEADS
    key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
    scores = (query @ key.transpose(2, 3) / math.sqrt(WIDTH)).masked_fill(~seen_TT, -math.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def assert_attends(plan: attention.Plan, row: PackedRow, window: int | None) -> None:
    given = tensors(len(row.input_ids_T))
    found = plan(*given, scale=WIDTH**-0.5, window=window)
    wanted = reference(*given, sees(row, window))  # type: ignore[call-arg]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    outer = torch.randn_like(wanted)
    gradients = [torch.autograd.grad(out, given, outer) for out in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("window", [None, 3, 70])
@pytest.mark.parametrize("name", ROWS)
def test_sdpa_attends_to_the_prompt_and_the_own_completion(name: str, window: int | None) -> None:
    row = row_of(ROWS[name])
    assert_attends(attention.make_plan("sdpa", row, torch.device("cpu")), row, window)


@pytest.fixture
def by_hand() -> Iterator[None]:
    """The plan is held to 1e-12 in fp64, which the kernel itself would not take."""
    with flash_kernel.in_place_of_cuda(flash_kernel.attend):
        yield


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", ROWS)
def test_varlen_is_given_queries_and_keys_that_attend_alike(
    name: str, window: int | None, by_hand: None
) -> None:
    row = row_of(ROWS[name])
    assert_attends(attention.make_plan("varlen", row, torch.device("cpu")), row, window)


@pytest.mark.parametrize("window", [None, 3, 70])
@pytest.mark.parametrize("name", ROWS)
def test_sdpa_as_on_cuda_attends_alike(name: str, window: int | None) -> None:
    row = row_of(ROWS[name])
    assert_attends(SdpaPlan(row, torch.device("cpu"), linear=True), row, window)


def test_sdpa_as_on_cuda_gives_long_segments_neither_a_mask_nor_grouped_heads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On CUDA one of them leaves only the kernel that keeps every score."""
    seen = []

    def attend(query: Tensor, key: Tensor, value: Tensor, **settings: Any) -> Tensor:
        seen.append((query.shape[1] == key.shape[1], settings))
        return torch.zeros_like(query)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    row = row_of(ROWS["long blocks"])
    SdpaPlan(row, torch.device("cpu"), linear=True)(
        *tensors(len(row.input_ids_T)), scale=1.0, window=None
    )
    assert len(seen) == 4
    for has_equal_heads, settings in seen:
        assert has_equal_heads
        assert not settings["enable_gqa"]
        assert isinstance(settings["attn_mask"], CausalBias)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ROWS)
def test_varlen_on_cuda_equals_sdpa_in_fp64_to_bf16_rounding(name: str) -> None:
    row, device = row_of(ROWS[name]), torch.device("cuda")
    given = tensors(len(row.input_ids_T))
    wanted = reference(*given, sees(row, None))  # type: ignore[call-arg]
    plan = attention.make_plan("varlen", row, device)
    found = plan(*(x.to(device, torch.bfloat16) for x in given), scale=WIDTH**-0.5, window=None)
    assert float((found.cpu().double() - wanted).norm() / wanted.norm()) < 0.02


def test_cpu_and_fp32_take_sdpa_and_varlen_says_what_it_needs() -> None:
    cpu = torch.device("cpu")
    assert attention.choose("auto", cpu, torch.float32, head_width=64) == "sdpa"
    assert attention.choose("auto", cpu, torch.bfloat16, head_width=64) == "sdpa"
    with pytest.raises(ConfigError, match="needs CUDA, half precision"):
        attention.choose("varlen", cpu, torch.bfloat16, head_width=64)


def test_on_cuda_varlen_is_taken_for_the_heads_that_its_kernel_takes() -> None:
    cuda = torch.device("cuda")
    ways = {
        w: attention.choose("auto", cuda, torch.bfloat16, head_width=w) for w in (64, 256, 20, 264)
    }
    assert ways == {64: "varlen", 256: "varlen", 20: "sdpa", 264: "sdpa"}
    assert attention.choose("auto", cuda, torch.float32, head_width=64) == "sdpa"
