"""The three ways to attend inside packed rows, against attention a sequence at a time in fp64."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asymreinforce.errors import ConfigError
from asymreinforce.policy import attention
from asymreinforce.policy.attention import varlen
from asymreinforce.policy.packing import Row, Sequences, pack

HEADS, KEY_HEADS, WIDTH = 4, 2, 8


def row_of(lengths: list[tuple[int, list[int]]]) -> Row:
    """A row of one block for each (prompt tokens, [completion tokens])."""
    prompts, completions = [], []
    for number, (prompt, owns) in enumerate(lengths):
        prompts += [np.full(prompt, number)] * len(owns)
        completions += [np.ones(own) for own in owns]
    (row,) = pack(Sequences(prompts, completions), tokens=10_000)
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


def sees(row: Row, window: int | None) -> Tensor:
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


def assert_attends(plan: attention.Plan, row: Row, window: int | None) -> None:
    given = tensors(len(row.input_ids_T))
    found = plan(*given, scale=WIDTH**-0.5, window=window)
    wanted = reference(*given, sees(row, window))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    outer = torch.randn_like(wanted)
    gradients = [torch.autograd.grad(out, given, outer) for out in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("window", [None, 3, 70])
@pytest.mark.parametrize("name", ROWS)
def test_sdpa_attends_to_the_prompt_and_the_own_completion(name: str, window: int | None) -> None:
    row = row_of(ROWS[name])
    assert_attends(attention.plan("sdpa", row, torch.device("cpu")), row, window)


def varlen_by_hand(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    """What FlashAttention promises: a sequence at a time, causal order aligned to the last key."""
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    assert enable_gqa
    left, right = window_size
    assert right == 0
    outs = []
    bounds = zip(cu_seq_q[:-1], cu_seq_q[1:], cu_seq_k[:-1], cu_seq_k[1:], strict=True)
    for q0, q1, k0, k1 in bounds:
        q, k, v = (x.transpose(0, 1)[None] for x in (query[q0:q1], key[k0:k1], value[k0:k1]))
        distance = (k1 - k0 - q1 + q0) + torch.arange(q1 - q0)[:, None] - torch.arange(k1 - k0)
        seen = distance >= 0 if left < 0 else (distance >= 0) & (distance <= left)
        outs.append(reference(q, k, v, seen)[0])
    return torch.cat(outs)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Any:
    import torch.nn.attention.varlen as module

    varlen._varlen.cache_clear()
    monkeypatch.setattr(module, "varlen_attn", varlen_by_hand)
    yield
    varlen._varlen.cache_clear()


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", ROWS)
def test_varlen_is_given_queries_and_keys_that_attend_alike(
    name: str, window: int | None, by_hand: None
) -> None:
    row = row_of(ROWS[name])
    assert_attends(attention.plan("varlen", row, torch.device("cpu")), row, window)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ROWS)
def test_varlen_on_cuda_equals_sdpa_in_fp64_to_bf16_rounding(name: str) -> None:
    row, device = row_of(ROWS[name]), torch.device("cuda")
    given = tensors(len(row.input_ids_T))
    wanted = reference(*given, sees(row, None))
    plan = attention.plan("varlen", row, device)
    found = plan(*(x.to(device, torch.bfloat16) for x in given), scale=WIDTH**-0.5, window=None)
    assert float((found.cpu().double() - wanted).norm() / wanted.norm()) < 0.02


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", ROWS)
def test_flex_masks_what_a_token_does_not_see(name: str, window: int | None) -> None:
    row = row_of(ROWS[name])
    plan = attention.plan("flex", row, torch.device("cpu"))
    given = [x.detach().float() for x in tensors(len(row.input_ids_T))]
    found = plan(*given, scale=WIDTH**-0.5, window=window)
    wanted = reference(*given, sees(row, window))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_cpu_and_fp32_take_sdpa_and_varlen_says_what_it_needs() -> None:
    cpu = torch.device("cpu")
    assert attention.choose("auto", cpu, torch.float32) == "sdpa"
    assert attention.choose("auto", cpu, torch.bfloat16) == "sdpa"
    assert attention.choose("flex", cpu, torch.float32) == "flex"
    with pytest.raises(ConfigError, match="needs CUDA, half precision"):
        attention.choose("varlen", cpu, torch.bfloat16)
