"""The engine on `generate`: memory, padding, models in training, and running out of memory."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines import transformers_engine
from asymreinforce.engines.device_memory import (
    SCORE_BYTES,
    TOP_P_BYTES,
    sequence_bytes,
    sequences_at_once,
)
from asymreinforce.engines.protocol import Completion
from asymreinforce.engines.transformers_engine import TransformersEngine
from asymreinforce.errors import EngineError
from asymreinforce.model.model_config import Decoder, ModelConfig
from asymreinforce.update.layers import checkpoint_activations

END = 2
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15, 16], [20], [30, 31, 32, 33]]
SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": END,
}


def llama(**settings: Any) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES | settings))


def using(model: Any, *, with_logps: bool = True, ends: tuple[int, ...] = (END,)) -> Any:
    """An engine that samples from a model in memory, up to 64 sequences at once."""
    config = EngineConfig(name="transformers", max_sequences=64)
    engine = TransformersEngine(config, PolicyConfig())
    engine.use(model, end_tokens=ends, with_logps=with_logps)
    return engine


def sampling(tokens: int = 12, *, samples: int = 1, **settings: float) -> SamplingConfig:
    return SamplingConfig(samples_per_prompt=samples, max_tokens=tokens, **settings)


def plain_logps(model: Any, prompt: list[int], completion: Completion) -> torch.Tensor:
    """Log-probabilities of a completion's tokens by one plain forward pass."""
    ids_T = torch.tensor([*prompt, *completion.token_ids])
    with torch.no_grad():
        logps_TV = model(input_ids=ids_T[None]).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return logps_TV.gather(1, ids_T[len(prompt) :, None])[:, 0]


class LiveBytes(TorchDispatchMode):
    """Adds up the bytes of tensors that operations make while these are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.peak, self.operations = 0, set[str]()
        self._live, self._known = 0, weakref.WeakSet[Any]()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), settings: Any = None
    ) -> Any:
        made = function(*arguments, **(settings or {}))
        self.operations.add(function.overloadpacket.__name__)
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._known:
            self._known.add(storage)
            self._live += storage.nbytes()
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self._live -= size


def test_memory_does_not_grow_by_a_vocabulary_with_each_token() -> None:
    """Scores of 50,000 words for 4 sequences are 0.8 MB a token: 144 MB more for 180 tokens."""
    engine = using(llama(vocab_size=50_000, hidden_size=16))
    peaks = {}
    for tokens in (20, 200):
        with LiveBytes() as live:
            drawn = engine.sample(PROMPTS, sampling(tokens), seed=0)
        assert [len(completion.logps) for (completion,) in drawn] == [tokens] * 4
        peaks[tokens] = live.peak
    cache = 2 * 2 * 8 * 4 * 4  # bytes a token: keys and values of 2 layers, heads of 8, in fp32
    assert peaks[200] - peaks[20] < 2 * 180 * cache + 100_000 < 1_000_000


def test_log_probabilities_that_nobody_asks_for_are_not_computed() -> None:
    model, drawn, operations = llama(), [], []
    for with_logps in (True, False):
        with LiveBytes() as live:
            drawn += [using(model, with_logps=with_logps).sample(PROMPTS, sampling(), seed=0)]
        operations.append(live.operations)
    assert "_log_softmax" in operations[0] and "_log_softmax" not in operations[1]
    for (with_logps,), (without,) in zip(*drawn, strict=True):
        assert without == with_logps._replace(logps=[])


def test_a_checkpoint_s_own_generation_settings_do_not_reach_a_model_in_training() -> None:
    """Those of Qwen2.5-Instruct name a repetition penalty and top-k."""
    model = llama()
    expected = using(model).sample(PROMPTS, sampling(samples=3), seed=0)
    own = GenerationConfig(repetition_penalty=1.3, min_new_tokens=9, bad_words_ids=[[5]])
    model.generation_config = own
    drawn = using(model).sample(PROMPTS, sampling(samples=3), seed=0)
    assert drawn == expected
    for prompt, group in zip(PROMPTS, drawn, strict=True):
        for completion in group:
            found = torch.tensor(completion.logps)
            torch.testing.assert_close(found, plain_logps(model, prompt, completion))
    assert model.generation_config is own


def of_kind(kind: str) -> Any:
    """A random model of each architecture that the tests train; Mistral with a window of 8."""
    from transformers import AutoConfig, AutoModelForCausalLM

    more = {"mistral": {"sliding_window": 8}, "qwen2": {}, "qwen3": {"head_dim": 16}}
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **SIZES | more.get(kind, {}))
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral"])
def test_padding_on_the_left_changes_no_completion(kind: str) -> None:
    model = of_kind(kind)
    engine = using(model)
    together = engine.sample(PROMPTS, sampling(20, temperature=0), seed=0)
    for prompt, (completion,) in zip(PROMPTS, together, strict=True):
        ((alone,),) = engine.sample([prompt], sampling(20, temperature=0), seed=0)
        assert completion.token_ids == alone.token_ids
        torch.testing.assert_close(
            torch.tensor(completion.logps), torch.tensor(alone.logps), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            torch.tensor(completion.logps), plain_logps(model, prompt, completion)
        )
    assert len({tuple(completion.token_ids) for (completion,) in together}) == len(PROMPTS)


def test_a_model_that_recomputes_activations_decodes_from_its_cache() -> None:
    model = llama()
    expected = using(model).sample(PROMPTS, sampling(6, temperature=0), seed=0)
    checkpoint_activations(model)
    model.train()
    widths: list[int] = []
    model.model.layers[0].register_forward_pre_hook(
        lambda module, inputs: widths.append(inputs[0].shape[1])
    )
    drawn = using(model).sample(PROMPTS, sampling(6, temperature=0), seed=0)
    assert widths == [max(map(len, PROMPTS)), *[1] * 5]
    assert drawn == expected
    assert model.training and model.is_gradient_checkpointing


def out_of_memory_above(rows: int, *, after: int) -> Callable[..., None]:
    """A hook that fails the forward pass number `after` of a batch of more rows than these."""
    passes: dict[int, int] = {}

    def fail(module: Any, inputs: Any, arguments: dict[str, Any]) -> None:
        count = len(arguments["input_ids"])
        passes[count] = passes.get(count, 0) + 1
        if count > rows and passes[count] > after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    return fail


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("after", [0, 5])
def test_out_of_memory_halves_the_batch_and_draws_on_from_what_is_drawn(
    after: int, temperature: float, capsys: pytest.CaptureFixture[str]
) -> None:
    model, settings = llama(), sampling(samples=2, temperature=temperature)
    calm = using(model).sample(PROMPTS, settings, seed=0)
    model.register_forward_pre_hook(out_of_memory_above(4, after=after), with_kwargs=True)
    drawn = using(model).sample(PROMPTS, settings, seed=0)
    said = "out of memory with 8 sequences at once: 4 from here on (set engine.max_sequences=4 to"
    assert said in capsys.readouterr().err
    for prompt, group, expected in zip(PROMPTS, drawn, calm, strict=True):
        for completion, other in zip(group, expected, strict=True):
            kept = after if temperature else 12  # what was drawn stays
            assert completion.token_ids[:kept] == other.token_ids[:kept]
            ended = completion.token_ids[-1] == END
            assert completion.finish_reason == ("stop" if ended else "length")
            assert ended or len(completion.token_ids) == 12
            found = torch.tensor(completion.logps)
            torch.testing.assert_close(found, plain_logps(model, prompt, completion))


def test_one_sequence_that_does_not_fit_is_an_error() -> None:
    model = llama()
    model.register_forward_pre_hook(out_of_memory_above(0, after=2), with_kwargs=True)
    with pytest.raises(EngineError, match=r"out of memory.*lower engine\.max_sequences"):
        using(model).sample(PROMPTS, sampling(), seed=0)


QWEN_3B = ModelConfig(151_936, 32_768, Decoder(36, 2048, 11_008, 16, 2, 128))


@pytest.mark.parametrize(("top_p", "scores"), [(False, 20), (True, 52)])
def test_a_sequence_needs_its_cache_and_its_scores_or_its_prompt_s_layers(
    top_p: bool, scores: int
) -> None:
    needed = sequence_bytes(QWEN_3B, prompt=20, completion=2000, item=2, has_top_p=top_p)
    assert needed == 2 * 36 * 2 * 128 * 2020 * 2 + 151_936 * scores
    long = sequence_bytes(QWEN_3B, prompt=1000, completion=1, item=2, has_top_p=top_p)
    assert long == 2 * 36 * 2 * 128 * 1001 * 2 + 1000 * 4 * 13_056 * 2 + 1000**2 * 3
    unknown = ModelConfig(None, None, None)
    assert sequence_bytes(unknown, prompt=1, completion=1, item=2, has_top_p=top_p) is None


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_the_bytes_that_a_word_costs_are_those_that_a_step_makes(top_p: float) -> None:
    """What the counted operations keep inside (random numbers, a sort's workspace) is left out."""
    settings, rows = sampling(3, samples=64, temperature=0.7, top_p=top_p), 64
    peaks = []
    for vocabulary in (5_000, 10_000):
        engine = using(llama(vocab_size=vocabulary, hidden_size=8))
        with LiveBytes() as live:
            engine.sample([PROMPTS[0]], settings, seed=0)
        peaks.append(live.peak)
    head = 8 * 4 / rows  # the weights' own bytes, which the operations return views of
    found = (peaks[1] - peaks[0]) / 5_000 / rows - head
    allowed = SCORE_BYTES + TOP_P_BYTES * (top_p < 1)
    assert 0.6 * allowed < found <= allowed


def test_as_many_sequences_are_drawn_at_once_as_fit_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000, 20_000))
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert sequences_at_once(cuda, 100, limit=512) == 80  # of 80% of what is free
    assert sequences_at_once(cuda, 100, limit=64) == 64
    assert sequences_at_once(cuda, 9_000, limit=512) == 1
    assert sequences_at_once(cuda, None, limit=512) == 512
    assert sequences_at_once(cpu, 9_000, limit=512) == 512


def test_the_engine_s_batches_are_those_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked, rows = llama(), [], []

    def three(device: torch.device, needed: int, *, limit: int) -> int:
        asked.append((device.type, needed, limit))
        return 3

    monkeypatch.setattr(transformers_engine, "sequences_at_once", three)
    model.register_forward_pre_hook(
        lambda module, inputs, arguments: rows.append(len(arguments["input_ids"])),
        with_kwargs=True,
    )
    using(model).sample(PROMPTS, sampling(1, samples=2), seed=0)
    assert rows == [3, 3, 2]
    prompt = max(9 * 4 * (48 + 32) * 4 + 9**2 * 5, 300 * 20)  # the longest has 9 tokens
    assert asked == [("cpu", 2 * 2 * 16 * 10 * 4 + prompt, 64)]


def test_tokens_behind_the_first_of_several_ends_are_left_out() -> None:
    model = llama()
    ((whole,),) = using(model).sample([PROMPTS[0]], sampling(8, temperature=0), seed=0)
    end = whole.token_ids[4]
    expected = whole.token_ids[: whole.token_ids.index(end) + 1]
    drawn = using(model, ends=(END, end)).sample(PROMPTS, sampling(8, temperature=0), seed=0)
    assert drawn[0][0].token_ids == expected
    assert drawn[0][0].finish_reason == "stop"
    assert len(drawn[0][0].logps) == len(expected)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_gives_no_numbers_is_said_to(temperature: float) -> None:
    """An engine that takes the first token for the likeliest would go on with it."""
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.nan
    engine = using(model)
    with pytest.raises(EngineError, match=r"not a number: the checkpoint holds NaN .* restore it"):
        engine.sample(PROMPTS, sampling(temperature=temperature), seed=0)
