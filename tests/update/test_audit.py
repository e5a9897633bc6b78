"""The mismatch audit names the cause that was provoked, and is silent where there is none."""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from asymreinforce.algorithm import mismatch
from asymreinforce.algorithm.mismatch import TEMPERATURES, likely_causes, measure_mismatch
from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.model.checkpoint import load_model, load_tokenizer
from asymreinforce.tasks import cups
from asymreinforce.update.audit import Audit, audit_logps
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.packing import Sequences


class Drawn(NamedTuple):
    """Rollouts with what their engine said of their tokens."""

    sequences: Sequences
    logps: list[np.ndarray]


def draw(policy: Path, *, dtype: str = "float32", **sampling: float) -> Drawn:
    engine = TransformersEngine(
        EngineConfig(name="transformers"),
        PolicyConfig(source=str(policy), dtype=dtype),  # type: ignore[arg-type]
    )
    tokenizer = load_tokenizer(policy)
    questions = itertools.islice(cups.draw_cups("train", seed=0), 48)
    prompts = [tokenizer.encode(question.text) for question in questions]
    engine.load(policy)
    settings = SamplingConfig(samples_per_prompt=4, max_tokens=16, **sampling)  # type: ignore[arg-type]
    rows = [
        (prompt, completion)
        for prompt, group in zip(prompts, engine.sample(prompts, settings, seed=0), strict=True)
        for completion in group
    ]
    return Drawn(
        Sequences([np.array(p) for p, _ in rows], [np.array(c.token_ids) for _, c in rows]),
        [np.array(c.logps, dtype=np.float32) for _, c in rows],
    )


def audited(policy: Path, drawn: Drawn) -> Audit:
    return audit_logps(Scorer(load_model(policy)), drawn.sequences, drawn.logps, tokens=2048)


def causes_of(policy: Path, drawn: Drawn) -> list[str]:
    return likely_causes(*audited(policy, drawn))


@pytest.fixture(scope="module")
def own(random_policy: Path) -> Drawn:
    return draw(random_policy)


def test_rollouts_of_the_model_itself_give_no_warning(random_policy: Path, own: Drawn) -> None:
    found = audited(random_policy, own).mismatch
    assert (found.rollouts, found.outside) == (192, 0.0)
    assert found.tokens == sum(map(len, own.logps)) > 1000
    assert found.mean_difference < 1e-5 and found.p99_difference < 1e-4
    assert found.effective_share == pytest.approx(1.0, abs=1e-4)
    assert causes_of(random_policy, own) == []


@pytest.mark.parametrize("temperature", [0.5, 0.7, 0.9, 1.3])
def test_a_temperature_is_found_within_its_grid(random_policy: Path, temperature: float) -> None:
    (cause,) = causes_of(random_policy, draw(random_policy, temperature=temperature))
    assert cause.startswith("temperature: at ")
    assert float(cause.split()[2]) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("top_p", [0.5, 0.8])
def test_truncated_sampling_is_found(random_policy: Path, top_p: float) -> None:
    (cause,) = causes_of(random_policy, draw(random_policy, top_p=top_p))
    assert cause.startswith("truncated sampling")


def test_lower_precision_is_found(random_policy: Path) -> None:
    (cause,) = causes_of(random_policy, draw(random_policy, dtype="bfloat16"))
    assert cause.startswith("dtype or kernels")


def test_another_checkpoint_is_found(tmp_path: Path, random_policy: Path, own: Drawn) -> None:
    model = load_model(random_policy)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    found = audit_logps(Scorer(model), own.sequences, own.logps, tokens=2048)
    (cause,) = likely_causes(*found)
    assert cause.startswith("another checkpoint")
    assert f"about {-found.mismatch.bias:.3g} nats" in cause


def test_another_tokenizer_is_found(random_policy: Path, own: Drawn) -> None:
    """The same pieces of text under other numbers."""
    other = np.random.default_rng(0).permutation(291)
    renamed = Sequences(
        [other[prompt] for prompt in own.sequences.prompts],
        [other[completion] for completion in own.sequences.completions],
    )
    (cause,) = causes_of(random_policy, Drawn(renamed, own.logps))
    assert cause.startswith("another tokenizer or prompt template")


def test_sampling_that_the_log_probabilities_do_not_tell_of_is_found(random_policy: Path) -> None:
    """Engines may store log-probabilities from before temperature and top-p."""
    sharp = draw(random_policy, top_p=0.5)
    model = load_model(random_policy)
    raw = []
    for prompt, completion in zip(*sharp.sequences, strict=True):
        ids = torch.tensor(np.concatenate([prompt, completion]))[None]
        with torch.no_grad():
            logits_TV = model(ids).logits[0, len(prompt) - 1 : -1]
        logps_T = logits_TV.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
        raw.append(logps_T.numpy())
    drawn = Drawn(sharp.sequences, raw)
    found = audited(random_policy, drawn)
    assert not mismatch.is_worth_warning(found.mismatch)
    (cause,) = likely_causes(*found)
    assert "of which the stored log-probabilities know nothing: 0 tokens" in cause


def test_the_figures_are_those_of_a_hand_count() -> None:
    logps_C = torch.tensor([-1.0, -1.0, -2.0, -0.5])
    behaviour_C = torch.tensor([-1.0, -1.2, -1.0, -0.5])
    found = measure_mismatch(logps_C, behaviour_C, torch.tensor([0, 0, 1, 1]))
    assert found.mean_difference == pytest.approx((0.2 + 1.0) / 4)
    assert found.bias == pytest.approx((0.2 - 1.0) / 4)
    assert found.p99_difference == pytest.approx(1.0)
    assert found.outside == 0.5  # ratios 1, 1.22, 0.37, 1
    weights = [math.exp(0.2), math.exp(-1.0)]
    effective = sum(weights) ** 2 / sum(w * w for w in weights) / 2
    assert found.effective_share == pytest.approx(effective)
    assert found.mean_logp == pytest.approx(-4.5 / 4)


def test_temperature_one_is_on_the_grid() -> None:
    assert 1.0 in TEMPERATURES and (min(TEMPERATURES), max(TEMPERATURES)) == (0.25, 4.0)
