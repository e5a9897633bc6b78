"""Two ranks against one process: gradient, weights, figures and state, over gloo on CPU."""

import ctypes
import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asymreinforce.errors import TrainingError
from asymreinforce.model import adapters
from asymreinforce.model.checkpoint import empty_model, load_model
from asymreinforce.update.diagnostic_set import DiagnosticSet
from asymreinforce.update.gradient import momentum_cosine
from asymreinforce.update.packing import Sequences
from asymreinforce.update.ranks import ALONE, Ranks
from asymreinforce.update.state import Position, load_state, save_state
from asymreinforce.update.trainer import Trainer
from tests.fixtures import slow_trainer as naive
from tests.fixtures.rank_steps import (
    COEFFICIENTS_B,
    OPTIM,
    TOKENS,
    compare,
    distance,
    flat,
    model,
    ratio_inputs,
    step_inputs,
    trainer,
)
from tests.fixtures.two_ranks import together

M_MMAP_THRESHOLD = -3
MODELS = [("llama", False), ("llama", True), ("qwen2", False), ("qwen2", True)]


def everything(ranks: Ranks, directory: Path) -> dict[str, Any]:
    """What the tests below look at, by two processes that are started once."""
    return {
        **{f"{kind} {tied}": compare(ranks, kind, tied) for kind, tied in MODELS},
        "offloaded": compare(ranks, cpu_offload=True),
        "lora": compare(ranks, "qwen2", made="lora"),
        "recomputed": compare(ranks, "qwen2", made="recomputed"),
        "ratio": compare(ranks, terms=ratio_inputs),
        "whole step": compare(ranks, terms=step_inputs),
        "bf16": compare(ranks, autocast=True),
        "zeros": zero_steps(ranks),
        "bad": bad_steps(ranks),
        "measured": measured_between_steps(ranks, "qwen2"),
        "adapted": measured_between_steps(ranks, "llama", made="lora"),
        "continued": continued(ranks, directory),
        "mastered": mastered(ranks, directory),
        "rounded": rounded(ranks),
        "agreed": agreed(ranks),
        "cosines": cosines(ranks),
    }


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def results(states: Path) -> dict[str, Any]:
    found: dict[str, Any] = together(everything, states)
    return found


@pytest.mark.parametrize(
    "name",
    [
        *(f"{kind} {tied}" for kind, tied in MODELS),
        "offloaded",
        "lora",
        "recomputed",
        "ratio",
        "whole step",
    ],
)
def test_two_ranks_make_the_steps_of_one_process_to_1e_6(
    results: dict[str, Any], name: str
) -> None:
    found = results[name]
    assert max(found[:5]) <= 1e-6
    assert found.skipped == ((0, 0) if name == "ratio" else (8, 8))


def test_in_bf16_they_differ_by_the_rounding_of_bf16(results: dict[str, Any]) -> None:
    assert results["bf16"].gradient < 3e-2
    assert results["bf16"].loss < 1e-2


def test_ranks_that_copy_between_nodes_make_the_same_steps() -> None:
    assert max(together(compare, nodes_apart=True)[:5]) <= 1e-6


def zero_steps(ranks: Ranks) -> list[Any]:
    """A step of zeros before any other, one after it, and how far the second moved the weights."""
    found = trainer(ranks)
    batch = naive.sequences(0)
    first = found.step(batch, torch.zeros(9))
    found.step(batch, COEFFICIENTS_B)
    before = flat(found.model.parameters())
    found.step(batch, torch.zeros(9))
    steps = {float(found.optimizer.state[p]["step"]) for p in found.model.parameters()}
    return [first[:3], steps, distance(flat(found.model.parameters()), before)]


def test_a_step_of_zeros_steps_the_optimizer_of_every_rank(results: dict[str, Any]) -> None:
    first, steps, moved = results["zeros"]
    assert first == (0.0, 0.0, 1e-2)
    assert steps == {3.0}
    assert moved > 1e-4  # momentum moves the weights on


def bad_steps(ranks: Ranks) -> tuple[int, float]:
    """How many ranks refuse a step in which one sequence, so one rank's, is not a number."""
    found = trainer(ranks)
    before = flat(found.model.parameters())
    try:
        found.step(naive.sequences(0), torch.tensor([1.0] * 8 + [float("nan")]))
        refused = 0
    except TrainingError:
        refused = 1
    return int(ranks.sum(np.array([refused]))[0]), distance(flat(found.model.parameters()), before)


def test_all_ranks_refuse_a_step_that_is_not_finite_in_one(results: dict[str, Any]) -> None:
    assert results["bad"] == (2, 0.0)


def cosines(ranks: Ranks) -> list[list[float | None]]:
    """The cosine of each of four gradients with those before it, in one process and in two."""
    # the weights hardly move, so that the gradient turns round with the coefficients
    slow = OPTIM.model_copy(update={"lr": 1e-6})
    alone, shared = (
        Trainer(model("llama", True), slow, tokens_per_micro_batch=TOKENS, ranks=each)
        for each in (ALONE, ranks)
    )
    coefficients = (COEFFICIENTS_B, -COEFFICIENTS_B, COEFFICIENTS_B.flip(0), torch.eye(9)[4])
    found = []
    for coefficients_B in coefficients:
        for each in (alone, shared):
            each.step(naive.sequences(0), coefficients_B)
        one = momentum_cosine(alone.optimizer)
        found.append([one, momentum_cosine(shared.optimizer, is_sharded=True)])
    return found


def test_the_cosine_with_the_momentum_is_that_of_one_process(results: dict[str, Any]) -> None:
    first, *later = results["cosines"]
    assert first == [None, None]
    for one, shared in later:
        assert shared == pytest.approx(one, abs=1e-5)
    assert [round(one, 2) for one, _ in later] == [-1.0, -0.06, 0.21]


def diagnostics(found: Trainer) -> tuple[Tensor, float]:
    watched = DiagnosticSet(naive.sequences(3), correct_B=np.arange(9) < 4, is_from_policy=True)
    measured = watched.measure(found)
    return measured.logps_B, measured.token_entropy


def measured_between_steps(ranks: Ranks, kind: str, **settings: Any) -> list[list[Any]]:
    """The slice before and after a step, and what the gathered model computes and would save."""
    return [_measured(trainer(each, kind, **settings)) for each in (ALONE, ranks)]


def _measured(found: Trainer) -> list[Any]:
    before = diagnostics(found)
    found.step(naive.sequences(0), COEFFICIENTS_B)
    after, whole = diagnostics(found), found.whole_model()
    measured = [before[0].numpy(), before[1], after[0].numpy(), after[1]]
    if whole is None:
        return measured
    with torch.no_grad():
        logits = whole(torch.arange(1, 9)[None]).logits.numpy()
    tied = whole.get_input_embeddings().weight is whole.get_output_embeddings().weight
    saved = adapters.merged_weights(whole)
    return [*measured, logits, flat(saved[name] for name in sorted(saved)).numpy(), tied]


@pytest.mark.parametrize("name", ["measured", "adapted"])
def test_the_slice_and_the_gathered_model_are_those_of_one_process(
    results: dict[str, Any], name: str
) -> None:
    alone, shared = results[name]
    for one, many in zip(alone[:6], shared[:6], strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-4)
    assert np.abs(alone[0] - alone[2]).max() > 1e-2  # the step moved what is measured
    assert alone[6] and shared[6]


def continued(ranks: Ranks, directory: Path) -> list[float]:
    """Two steps, saved; then a third from that state, by two ranks and by each one alone."""
    batch, more = naive.sequences(0), {"kept": torch.arange(3)}
    one, two = trainer(ALONE), trainer(ranks)
    for _ in range(2):
        one.step(batch, COEFFICIENTS_B)
        two.step(batch, COEFFICIENTS_B)
    if ranks.is_first:
        save_state(directory / "one", one, Position(2, None, None), more=more)
    path = Path(ranks.text(str(directory / "two")))
    save_state(path, two, Position(2, 1, 0.5), more=more)
    ranks.wait()
    weights = {name: value.clone() for name, value in one.model.state_dict().items()}
    expected = one.step(batch, COEFFICIENTS_B)
    found = []
    for new, state in ((ALONE, "two"), (ranks, "one"), (ranks, "two")):
        other = model("llama", True)
        other.load_state_dict(weights)
        again = Trainer(other, OPTIM, tokens_per_micro_batch=TOKENS, ranks=new)
        position, kept = load_state(directory / state, again)
        assert position == (Position(2, 1, 0.5) if state == "two" else Position(2, None, None))
        assert torch.equal(kept["kept"], more["kept"])
        done = again.step(batch, COEFFICIENTS_B)
        moved = distance(flat(again.model.parameters()), flat(one.model.parameters()))
        found += [abs(done.loss / expected.loss - 1), moved]
    return found


def test_the_state_of_any_number_of_ranks_continues_on_any_other(
    results: dict[str, Any], states: Path
) -> None:
    assert max(results["continued"]) <= 1e-6
    files = {path.name for path in states.rglob("*") if path.is_file()}
    assert {name.rpartition(".")[2] for name in files} == {"safetensors", "json"}  # no pickle
    moments = sorted((states / "two" / "moments").glob("*.safetensors"))
    whole = (states / "one" / "state.safetensors").stat().st_size
    assert len(moments) == 2
    assert all(path.stat().st_size < 0.7 * whole for path in moments)


def mastered(ranks: Ranks, directory: Path) -> list[bool]:
    """Whether masters that one or two processes wrote are read back bit for bit by either."""
    equal = []
    for writer, name in ((ALONE, "one"), (ranks, "two")):
        wrote = trainer(writer)
        wrote.step(naive.sequences(0), COEFFICIENTS_B)
        expected = flat(wrote.model.parameters())
        path = Path(ranks.text(str(directory / f"masters-{name}")))
        if writer.mesh or ranks.is_first:
            save_state(path, wrote, Position(1, None, None), more={}, masters=True)
        ranks.wait()
        for reader in (ALONE, ranks):
            read = trainer(reader)
            load_state(path, read, masters=True)
            equal.append(torch.equal(flat(read.model.parameters()), expected))
    return equal


def test_master_weights_of_any_number_of_ranks_are_read_bit_for_bit_by_any_other(
    results: dict[str, Any], states: Path
) -> None:
    """Ranks write their shards; nobody gathers."""
    assert results["mastered"] == [True] * 4
    shards = sorted((states / "masters-two" / "masters").glob("*.safetensors"))
    whole = sum(p.numel() for p in model("llama", True).parameters()) * 4
    assert len(shards) == 2 and all(path.stat().st_size < 0.7 * whole for path in shards)


def test_a_gathered_copy_is_rounded_before_it_is_sent(results: dict[str, Any]) -> None:
    assert results["rounded"] == [True, True]


def rounded(ranks: Ranks) -> list[bool]:
    """Whether the first rank's copy holds the weights rounded, and the other rank holds none."""
    found = trainer(ranks)
    expected = flat(found.model.parameters()).bfloat16()
    copy = found.whole_model(dtype=torch.bfloat16)
    is_right = (
        copy is None
        if not ranks.is_first
        else copy is not None and torch.equal(flat(copy.parameters()), expected)
    )
    return [bool(v) for v in ranks.sum(np.eye(2)[ranks.number] * is_right)]


def test_a_rank_s_text_and_decision_are_the_first_one_s(results: dict[str, Any]) -> None:
    assert results["agreed"] == ["/tmp/Zürich", 7.0, [1.0, 3.0]]


def agreed(ranks: Ranks) -> list[Any]:
    text = ranks.text("/tmp/Zürich" if ranks.is_first else "")
    decided = ranks.decided(lambda: 7 if ranks.is_first else 1 / 0)
    return [text, decided, ranks.sum(np.array([ranks.number, 1.5])).tolist()]


def test_alone_nothing_is_shared() -> None:
    batch = Sequences([np.array([1, 2])], [np.array([3])])
    assert ALONE.sum(np.array([2.0])) == 2.0 and ALONE.text("here") == "here"
    assert len(list(trainer(ALONE).rows(batch))) == 1


def filled(ranks: Ranks, checkpoint: Path) -> tuple[list[float], float]:
    """What each rank's memory grew by, in models, and how far what it was sent is from the file."""
    # a real model's tensors are above 32 MB, from where on what is freed goes back to the system
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
    whole = load_model(checkpoint)
    size = sum(p.numel() for p in whole.parameters()) * 4 / 2**20
    expected = flat(whole.parameters()) if ranks.is_first else torch.zeros(1)
    del whole
    gc.collect()
    own = load_model if ranks.is_first else empty_model
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    policy = own(checkpoint, dtype=torch.float32)
    found = Trainer(policy, OPTIM, tokens_per_micro_batch=TOKENS, ranks=ranks)
    grown = np.zeros(2)
    grown[ranks.number] = (peak_mb() - before) / size
    gathered = flat(found.model.parameters())
    apart = float((gathered - expected).abs().max()) if ranks.is_first else 0.0
    buffers = float(sum(buffer.double().sum() for buffer in found.model.buffers()))
    assert ranks.decided(lambda: buffers) == buffers
    return ranks.sum(grown).tolist(), apart


def peak_mb() -> float:
    """The peak resident memory of this process since it was forgotten."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def test_a_rank_that_is_sent_its_weights_never_holds_the_whole_model(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    big = LlamaConfig(
        vocab_size=256,
        hidden_size=256,
        intermediate_size=4096,
        num_hidden_layers=8,
        num_attention_heads=4,
        tie_word_embeddings=True,
    )  # 110 MB, a layer 13.6 MB
    LlamaForCausalLM(big).save_pretrained(tmp_path)
    (first, other), apart = together(filled, tmp_path)
    assert apart == 0
    assert first > 1
    assert 0.5 < other < 0.8  # its half, and a layer
