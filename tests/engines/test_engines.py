"""Both engines against transformers' plain forward pass, and against each other."""

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines import Completion, Engine, open_engine
from asymreinforce.errors import EngineError, InputError
from asymreinforce.model.checkpoint import end_tokens, load_model
from tests.fixtures.checkpoints import write_random_policy

WIDTH = 64
"""vLLM on CPU serves heads of 32 numbers, but not of 8."""
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14], [20], [30, 31, 32, 33]]
SAMPLING = SamplingConfig(samples_per_prompt=6, max_tokens=10)
SEED = 11
ENGINES = [pytest.param("vllm", marks=pytest.mark.vllm), "transformers"]


def settings(checkpoint: Path, name: str) -> tuple[EngineConfig, PolicyConfig]:
    engine = EngineConfig.model_validate({"name": name, "max_sequences": 64})
    return engine, PolicyConfig(source=str(checkpoint), context=64)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Checkpoints A and B, with untied and with tied embeddings."""
    parent = tmp_path_factory.mktemp("checkpoints")
    return {
        kind: tuple(  # type: ignore[misc]
            spread_out(parent / f"{kind}-{seed}", seed=seed, tied=kind == "tied")
            for seed in range(2)
        )
        for kind in ("untied", "tied")
    }


def spread_out(directory: Path, *, seed: int, tied: bool = False) -> Path:
    """A random policy whose logits are as wide as a real one's: many tokens are drawn."""
    write_random_policy(directory, seed=seed, width=WIDTH, tied=tied)
    model = load_model(directory)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(0.4)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def engines(
    checkpoints: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Start an engine for a name and an architecture once, and close all of them at the end."""
    log, opened, started = tmp_path_factory.mktemp("log") / "engine.log", [], {}

    def start(name: str, kind: str) -> Engine:
        if (name, kind) not in started:
            manager = open_engine(*settings(checkpoints[kind][0], name), log=log)
            opened.append(manager)
            started[name, kind] = manager.__enter__()
        return started[name, kind]

    yield start
    for manager in opened:
        manager.__exit__(None, None, None)


def recomputed(checkpoint: Path, prompt: list[int], completion: Completion) -> list[float]:
    """Log-probabilities of a completion's tokens by one plain forward pass."""
    with torch.no_grad():
        ids_T = torch.tensor([[*prompt, *completion.token_ids]])
        logps_TV = load_model(checkpoint)(input_ids=ids_T).logits[0].float().log_softmax(-1)
    start = len(prompt) - 1
    return [float(logps_TV[start + t, token]) for t, token in enumerate(completion.token_ids)]


def largest_error(checkpoint: Path, drawn: list[list[Completion]]) -> float:
    return largest_error_of(checkpoint, PROMPTS, drawn)


def largest_error_of(
    checkpoint: Path, prompts: list[list[int]], drawn: list[list[Completion]]
) -> float:
    return max(
        abs(found - expected)
        for prompt, group in zip(prompts, drawn, strict=True)
        for completion in group
        for found, expected in zip(
            completion.logps, recomputed(checkpoint, prompt, completion), strict=True
        )
    )


@pytest.mark.parametrize("kind", ["untied", "tied"])
@pytest.mark.parametrize("name", ENGINES)
def test_checkpoints_a_b_a_give_a_s_completions_twice_and_the_log_probabilities_of_each(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str, kind: str
) -> None:
    engine, (a, b) = engines(name, kind), checkpoints[kind]
    drawn = []
    for checkpoint in (a, b, a):
        engine.load(checkpoint)
        drawn.append(engine.sample(PROMPTS, SAMPLING, seed=SEED))
        assert largest_error(checkpoint, drawn[-1]) < 1e-4
    assert drawn[0] == drawn[2] != drawn[1]
    assert largest_error(b, drawn[0]) > 1  # the check can tell one checkpoint from the other


@pytest.mark.parametrize("name", ENGINES)
def test_completions_are_as_many_and_as_long_as_asked_and_end_by_the_end_token(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str
) -> None:
    engine, checkpoint = engines(name, "untied"), checkpoints["untied"][0]
    engine.load(checkpoint)
    (end,) = end_tokens(checkpoint)
    drawn = engine.sample(PROMPTS, SamplingConfig(samples_per_prompt=100, max_tokens=10), seed=SEED)
    assert [len(group) for group in drawn] == [100] * 4
    reasons: Counter[str] = Counter()
    for completion in (completion for group in drawn for completion in group):
        reasons[completion.finish_reason] += 1
        ended = completion.finish_reason == "stop"
        assert (completion.token_ids[-1] == end) == ended
        assert end not in completion.token_ids[:-1]
        assert len(completion.logps) == len(completion.token_ids) <= 10
        assert ended or len(completion.token_ids) == 10
        assert all(math.isfinite(logp) and logp <= 0 for logp in completion.logps)
    assert reasons["stop"] >= 3 and reasons["length"] >= 3


@pytest.mark.parametrize("name", ENGINES)
def test_another_seed_draws_others_and_the_same_seed_the_same(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str
) -> None:
    engine = engines(name, "untied")
    engine.load(checkpoints["untied"][0])
    first = engine.sample(PROMPTS, SAMPLING, seed=SEED)
    other = engine.sample(PROMPTS, SAMPLING, seed=SEED + 1)
    assert engine.sample(PROMPTS, SAMPLING, seed=SEED) == first != other
    drawn = [tuple(completion.token_ids) for completion in first[0]]
    assert len(set(drawn)) > 1  # samples of a group differ


@pytest.mark.parametrize("name", ENGINES)
def test_torch_s_random_state_and_threads_are_left_as_they_were(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str
) -> None:
    engine = engines(name, "untied")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    try:
        engine.load(checkpoints["untied"][1])
        engine.sample(PROMPTS, SAMPLING, seed=SEED)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


DRAW = """
import sys
from pathlib import Path
import torch
from asymreinforce.engines import open_engine
from tests.engines import test_engines as here
torch.set_num_threads(1)
torch.manual_seed(12345)
name, checkpoint, log = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
with open_engine(*here.settings(checkpoint, name), log=log) as engine:
    engine.load(checkpoint)
    engine.sample([[40, 41]], here.SAMPLING, seed=1)
    drawn = engine.sample(here.PROMPTS, here.SAMPLING, seed=here.SEED)
print([[list(completion) for completion in group] for group in drawn])
"""


@pytest.mark.parametrize("name", ENGINES)
def test_another_process_draws_the_same_completions_and_prints_nothing_else(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], tmp_path: Path, name: str
) -> None:
    engine, checkpoint = engines(name, "untied"), checkpoints["untied"][0]
    engine.load(checkpoint)
    here = engine.sample(PROMPTS, SAMPLING, seed=SEED)
    command = [sys.executable, "-c", DRAW, name, str(checkpoint), str(tmp_path / "log")]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == f"{[[list(completion) for completion in group] for group in here]}\n"
    assert done.stderr == ""


def first_tokens(engine: Engine, *, temperature: float = 1.0, draws: int = 4000) -> Counter[int]:
    sampling = SamplingConfig(samples_per_prompt=draws, max_tokens=1, temperature=temperature)
    (group,) = engine.sample([PROMPTS[0]], sampling, seed=SEED)
    return Counter(completion.token_ids[0] for completion in group)


def excess(observed: Counter[int], probabilities_V: list[float]) -> float:
    """Pearson's chi-square against a distribution, in standard deviations above its mean.

    Tokens of fewer than five expected draws share a bin.
    """
    draws = observed.total()
    wide = [v for v, p in enumerate(probabilities_V) if draws * p >= 5]
    bins = [(observed[v], draws * probabilities_V[v]) for v in wide]
    rest = draws - sum(mean for _, mean in bins)
    if rest >= 5:
        bins.append((draws - sum(observed[v] for v in wide), rest))
    chi_square = sum((count - mean) ** 2 / mean for count, mean in bins)
    freedom = len(bins) - 1
    return (chi_square - freedom) / math.sqrt(2 * freedom)


def test_chi_square_by_hand() -> None:
    found = excess(Counter({0: 60, 1: 25, 2: 10, 3: 5}), [0.5, 0.3, 0.16, 0.04])
    chi_square = 100 / 50 + 25 / 30 + 36 / 16  # token 3 expects four draws: too few for a bin
    assert found == pytest.approx((chi_square - 2) / 2)


@pytest.mark.parametrize("name", ENGINES)
def test_first_tokens_are_distributed_as_the_model_says(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str
) -> None:
    engine, checkpoint = engines(name, "untied"), checkpoints["untied"][0]
    engine.load(checkpoint)
    with torch.no_grad():
        logits_V = load_model(checkpoint)(torch.tensor([PROMPTS[0]])).logits[0, -1].double()
    right, sharper = logits_V.softmax(-1).tolist(), (logits_V / 0.8).softmax(-1).tolist()
    observed = first_tokens(engine)
    assert excess(observed, right) < 4  # four standard deviations above the mean
    assert excess(observed, sharper) > 10  # and it would see another temperature
    assert excess(first_tokens(engine, temperature=0.8), sharper) < 4


@pytest.mark.vllm
def test_both_engines_draw_from_one_distribution(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]]
) -> None:
    """Homogeneity of two samples of equal size: sum (a - b)^2 / (a + b) over tokens."""
    counts = []
    for name in ("vllm", "transformers"):
        engine = engines(name, "untied")
        engine.load(checkpoints["untied"][0])
        counts.append(first_tokens(engine))
    a, b = counts
    wide = [token for token in a | b if a[token] + b[token] >= 10]
    chi_square = sum((a[v] - b[v]) ** 2 / (a[v] + b[v]) for v in wide)
    assert len(wide) > 20
    assert chi_square < len(wide) + 4 * math.sqrt(2 * len(wide))


@pytest.mark.parametrize("name", ENGINES)
def test_log_probabilities_are_of_the_distribution_that_was_drawn_from(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str
) -> None:
    engine, checkpoint = engines(name, "untied"), checkpoints["untied"][0]
    engine.load(checkpoint)
    sampling = SamplingConfig(samples_per_prompt=20, max_tokens=1, temperature=0.5)
    (group,) = engine.sample([PROMPTS[1]], sampling, seed=SEED)
    with torch.no_grad():
        logits_V = load_model(checkpoint)(torch.tensor([PROMPTS[1]])).logits[0, -1]
    logps_V = (logits_V / 0.5).log_softmax(-1)
    for completion in group:
        assert completion.logps[0] == pytest.approx(
            float(logps_V[completion.token_ids[0]]), abs=1e-4
        )


@pytest.mark.parametrize("name", ENGINES)
def test_temperature_0_takes_the_likeliest_token(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], name: str
) -> None:
    engine, checkpoint = engines(name, "untied"), checkpoints["untied"][0]
    engine.load(checkpoint)
    sampling = SamplingConfig(samples_per_prompt=1, max_tokens=4, temperature=0)
    ((completion,),) = engine.sample([PROMPTS[0]], sampling, seed=SEED)
    with torch.no_grad():
        ids_T = torch.tensor([[*PROMPTS[0], *completion.token_ids]])
        best_T = load_model(checkpoint)(ids_T).logits[0].argmax(-1).tolist()
    assert completion.token_ids == best_T[len(PROMPTS[0]) - 1 : -1]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_without_a_checkpoint_says_so(tmp_path: Path, name: str) -> None:
    with (
        open_engine(*settings(tmp_path, name), log=tmp_path / "log") as engine,
        pytest.raises(EngineError, match="call load first"),
    ):
        engine.sample(PROMPTS, SAMPLING, seed=0)


@pytest.mark.parametrize("name", ENGINES)
def test_a_bad_checkpoint_is_named_and_a_good_one_loads_after(
    engines: Any, checkpoints: dict[str, tuple[Path, Path]], tmp_path: Path, name: str
) -> None:
    engine, checkpoint = engines(name, "untied"), checkpoints["untied"][0]
    engine.load(checkpoint)
    bad = write_random_policy(tmp_path / "bad", seed=0, width=WIDTH)
    (bad / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises((EngineError, InputError), match=str(bad)):
        engine.load(bad)
    engine.load(checkpoint)
    assert largest_error(checkpoint, engine.sample(PROMPTS, SAMPLING, seed=SEED)) < 1e-4
