"""The head in chunks against autograd over all logits at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from asymreinforce.update.head import Head, linear_loss, token_logps
from asymreinforce.update.memory import LogitsBuffer

TOKENS, WIDTH, WORDS = 37, 8, 50


class Problem(NamedTuple):
    hidden_CD: Tensor
    weight_VD: Tensor
    bias_V: Tensor
    targets_C: Tensor
    coefficients_C: Tensor

    def head(self, *, biased: bool, workspace: int) -> Head:
        return Head(self.weight_VD, self.bias_V if biased else None, LogitsBuffer(), workspace)


def problem(dtype: torch.dtype = torch.float64) -> Problem:
    torch.manual_seed(0)
    return Problem(
        torch.randn(TOKENS, WIDTH, dtype=dtype, requires_grad=True),
        torch.randn(WORDS, WIDTH, dtype=dtype, requires_grad=True),
        torch.randn(WORDS, dtype=dtype, requires_grad=True),
        torch.randint(0, WORDS, (TOKENS,)),
        torch.randn(TOKENS, dtype=torch.float64),
    )


def expected(given: Problem, *, biased: bool) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """log p, loss and gradients in fp64, by the formula and autograd."""
    hidden, weight, bias = (x.detach().double().requires_grad_() for x in given[:3])
    logits_CV = hidden @ weight.T + (bias if biased else 0)
    logps_C = logits_CV.log_softmax(-1)[torch.arange(TOKENS), given.targets_C]
    loss = -(given.coefficients_C * logps_C).sum()
    wanted = (hidden, weight, bias) if biased else (hidden, weight)
    return logps_C.detach(), loss.detach(), torch.autograd.grad(loss, wanted)


def assert_close(found: Tensor, wanted: Tensor, bound: float) -> None:
    assert float((found.detach().double() - wanted).norm() / wanted.norm()) < bound


# 1 logit, one token, a chunk of 10 and a rest of 7, all tokens at once
@pytest.mark.parametrize("workspace", [1, WORDS, 10 * WORDS, 10**6])
@pytest.mark.parametrize("biased", [False, True])
def test_the_gradient_made_in_the_forward_pass_is_autograd_s_to_1e_14(
    workspace: int, biased: bool
) -> None:
    given = problem()
    logps_C, loss, gradients = expected(given, biased=biased)
    head = given.head(biased=biased, workspace=workspace)
    made = linear_loss(head, given.hidden_CD, given.targets_C, given.coefficients_C)
    assert_close(made.logps_C, logps_C, 1e-14)
    assert_close(made.loss, loss, 1e-13)
    found: list[Any] = [made.by_hidden_CD, given.weight_VD.grad, given.bias_V.grad]
    for one, wanted in zip(found, gradients, strict=False):
        assert_close(one, wanted, 1e-14)


@pytest.mark.parametrize("workspace", [1, 10 * WORDS, 10**6])
@pytest.mark.parametrize("biased", [False, True])
def test_the_recomputing_head_is_autograd_s_to_1e_14(workspace: int, biased: bool) -> None:
    given = problem()
    logps_C, _, gradients = expected(given, biased=biased)
    head = given.head(biased=biased, workspace=workspace)
    found = token_logps(head, given.hidden_CD, given.targets_C)
    assert found.entropies_C is None
    assert_close(found.logps_C, logps_C, 1e-14)
    wanted = given[:3] if biased else given[:2]
    loss = -(given.coefficients_C * found.logps_C).sum()
    for one, other in zip(torch.autograd.grad(loss, wanted), gradients, strict=True):
        assert_close(one, other, 1e-14)


def test_the_entropy_is_minus_the_mean_log_probability() -> None:
    given = problem()
    logps_CV = (given.hidden_CD @ given.weight_VD.T).log_softmax(-1).detach()
    scores = token_logps(
        given.head(biased=False, workspace=500), given.hidden_CD, given.targets_C, entropy=True
    )
    assert scores.entropies_C is not None
    assert not scores.entropies_C.requires_grad
    assert_close(scores.entropies_C, -(logps_CV.exp() * logps_CV).sum(-1), 1e-14)


def test_a_second_call_adds_to_the_weight_s_gradient() -> None:
    given = problem()
    head = given.head(biased=False, workspace=500)
    for _ in range(2):
        linear_loss(head, given.hidden_CD, given.targets_C, given.coefficients_C)
    assert given.weight_VD.grad is not None
    assert_close(given.weight_VD.grad, 2 * expected(given, biased=False)[2][1], 1e-14)


def test_a_frozen_head_gets_no_gradient_and_hands_on_that_of_the_hidden_states() -> None:
    given = problem()
    given.weight_VD.requires_grad_(False)
    head = given.head(biased=False, workspace=500)
    made = linear_loss(head, given.hidden_CD, given.targets_C, given.coefficients_C)
    assert given.weight_VD.grad is None
    assert_close(made.by_hidden_CD, expected(given, biased=False)[2][0], 1e-14)


def test_logits_far_apart_neither_overflow_nor_lose_the_log_probability() -> None:
    weight_VD = torch.tensor([[1000.0], [-1000.0], [0.0]], requires_grad=True)
    hidden_CD = torch.ones(2, 1)
    head = Head(weight_VD, None, LogitsBuffer(), 3)
    made = linear_loss(head, hidden_CD, torch.tensor([0, 1]), torch.ones(2))
    assert made.logps_C.tolist() == [0.0, -2000.0]
    assert made.by_hidden_CD.tolist() == [[0.0], [2000.0]]


def test_in_bf16_the_softmax_is_taken_in_fp32_and_the_gradient_is_within_its_rounding() -> None:
    given = problem(torch.bfloat16)
    logps_C, _, gradients = expected(given, biased=False)
    master_VD = given.weight_VD.detach().float().requires_grad_()
    head = Head(master_VD, None, LogitsBuffer(), 10 * WORDS)
    made = linear_loss(head, given.hidden_CD, given.targets_C, given.coefficients_C)
    assert made.logps_C.dtype == torch.float32
    assert master_VD.grad is not None
    assert master_VD.grad.dtype == torch.float32
    assert_close(made.logps_C, logps_C, 0.01)
    assert_close(made.by_hidden_CD, gradients[0], 0.01)
    assert_close(master_VD.grad, gradients[1], 0.01)


def test_chunks_of_nearly_equal_size_cover_all_tokens() -> None:
    head = Head(torch.empty(10, 1), None, LogitsBuffer(), 40)
    sizes = [part.stop - part.start for part in head.chunks(9)]
    assert sizes == [3, 3, 3]
    assert list(head.chunks(0)) == []


def test_the_logits_buffer_gives_the_same_memory_again_and_grows() -> None:
    buffer, like = LogitsBuffer(), torch.empty(0)
    first = buffer.view(4, 5, like)
    assert buffer.view(2, 3, like).data_ptr() == first.data_ptr()
    assert buffer.view(40, 5, like).shape == (40, 5)
    assert buffer.view(2, 3, like.double()).dtype == torch.float64


def test_the_kernel_of_cuda_reads_and_writes_what_the_softmax_in_pytorch_does() -> None:
    """In Triton's interpreter, which needs no device, in a process of its own."""
    script = Path(__file__).parents[1] / "fixtures/interpreted_kernel.py"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, str(script)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "No module named 'triton'" in result.stderr:
        pytest.skip("triton is not installed here")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["10", "4096", "4097", "20001", "nan"]
