"""The engine on transformers' `generate`, for machines where vLLM cannot be installed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines.device_memory import (
    return_unused_memory,
    sequence_bytes,
    sequences_at_once,
)
from asymreinforce.engines.draws import Draw, DrawRecorder, Warper
from asymreinforce.engines.failure import NOT_FINITE, engine_error
from asymreinforce.engines.protocol import Completion, DrawnJobs, Job, one_by_one
from asymreinforce.errors import EngineError
from asymreinforce.model import model_config
from asymreinforce.model.checkpoint import end_tokens, load_model
from asymreinforce.progress import say
from asymreinforce.update.layers import in_evaluation_mode, uncompiled_without_gradient

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


class TransformersEngine:
    """Samples with transformers' `generate`, from prompts that are padded on the left."""

    def __init__(self, engine: EngineConfig, policy: PolicyConfig):
        self._config = engine
        self._policy = policy
        self._model: PreTrainedModel | None = None
        self._end_tokens: tuple[int, ...] = ()
        self._with_logps = True

    def load(self, checkpoint: Path) -> None:
        """Load a checkpoint in the policy's dtype, onto CUDA if the machine has a CUDA device."""
        model = load_model(
            checkpoint,
            dtype=getattr(torch, self._policy.dtype),
            trust_remote_code=self._policy.trust_remote_code,
            safetensors_only=self._policy.safetensors_only,
        )
        ends = end_tokens(checkpoint, trust_remote_code=self._policy.trust_remote_code)
        self.use(model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), end_tokens=ends)

    def use(
        self, model: "PreTrainedModel", *, end_tokens: tuple[int, ...], with_logps: bool = True
    ) -> None:
        """Sample from a model that is in memory already, such as a model in training.

        With `with_logps=False` completions have no log-probabilities.
        """
        self._model, self._end_tokens, self._with_logps = model, end_tokens, with_logps

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> list[list[Completion]]:
        """Draw completions, `engine.max_sequences` at a time, or fewer if a CUDA device is full."""
        from transformers import GenerationConfig

        if self._model is None:
            raise EngineError("the engine has no checkpoint yet; call load first")
        model, threads = self._model, torch.get_num_threads()
        own_generation_config = model.generation_config
        devices = [model.device] if model.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            torch.no_grad(),
            uncompiled_without_gradient(),
            in_evaluation_mode(model),
        ):
            torch.manual_seed(seed)
            torch.set_num_threads(self._config.threads)
            # A checkpoint's defaults may set top-k or a repetition penalty; mu has neither.
            model.generation_config = GenerationConfig()
            try:
                return self._sample(prompts, sampling)
            except RuntimeError as error:  # OutOfMemoryError is a RuntimeError
                if "probability tensor contains" in str(error):
                    raise EngineError(NOT_FINITE) from error
                raise engine_error("the engine failed while it sampled", error) from error
            finally:
                torch.set_num_threads(threads)
                model.generation_config = own_generation_config

    def _sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig
    ) -> list[list[Completion]]:
        count, ends = sampling.samples_per_prompt, self._end_tokens
        draws = [Draw(prompt) for prompt in prompts for _ in range(count)]
        size = self._at_once(max(map(len, prompts), default=0), sampling)
        waiting = draws
        while waiting:
            drawn = len(waiting[0].tokens)
            # `generate` takes one max_new_tokens for a batch, so all must be equally far.
            batch = [draw for draw in waiting if len(draw.tokens) == drawn][:size]
            if not self._extend_draws(batch, sampling, drawn=drawn):
                size = self._halve_batch(len(batch))
            waiting = [
                draw
                for draw in waiting
                if len(draw.tokens) < sampling.max_tokens and not draw.has_ended(ends)
            ]
        completions = [draw.completion(ends) for draw in draws]
        return [completions[i : i + count] for i in range(0, len(completions), count)]

    def _extend_draws(self, batch: Sequence[Draw], sampling: SamplingConfig, *, drawn: int) -> bool:
        """Continue each completion to its end; return False if the memory ran out before.

        Every completion of the batch has `drawn` tokens already.
        """
        assert self._model is not None
        rows = [[*draw.prompt, *draw.tokens] for draw in batch]
        width = max(map(len, rows))
        pad = self._end_tokens[0]
        ids_BT = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        recorder = DrawRecorder(_make_warpers(sampling), width=width, with_logps=self._with_logps)
        device, is_whole = self._model.device, True
        try:
            generate: Any = self._model.generate
            generate(
                ids_BT.to(device),
                attention_mask=mask_BT.to(device),
                generation_config=self._generation_config(sampling, drawn=drawn),
                logits_processor=[recorder.warp_scores],
                stopping_criteria=[recorder.note_tokens],
            )
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            is_whole = False
        # Tokens that were drawn before memory ran out are kept: drawing them again would favour
        # batches of short completions. Nothing is recorded if memory ran out before the first draw.
        for draw, (tokens, logps) in zip(batch, recorder.drawn(), strict=is_whole):
            draw.extend(tokens, logps, ends=self._end_tokens)
        return is_whole

    def _at_once(self, prompt: int, sampling: SamplingConfig) -> int:
        assert self._model is not None
        needed = sequence_bytes(
            model_config.of_model(self._model),
            prompt=prompt,
            completion=sampling.max_tokens,
            item=self._model.dtype.itemsize,
            has_top_p=sampling.top_p < 1,
        )
        return sequences_at_once(self._model.device, needed, limit=self._config.max_sequences)

    def _halve_batch(self, size: int) -> int:
        """Free the memory of a batch that did not fit; return the size of the next batches."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(
            f"out of memory with {size} sequences at once: {size // 2} from here on "
            f"(set engine.max_sequences={size // 2} to start with so many)"
        )
        return size // 2

    def _generation_config(self, sampling: SamplingConfig, *, drawn: int) -> "GenerationConfig":
        from transformers import GenerationConfig

        # the recorder applies temperature and top-p, since log mu is of the scores after both
        drawing: dict[str, Any] = (
            {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
            if sampling.temperature > 0
            else {"do_sample": False}
        )
        return GenerationConfig(
            **drawing,
            max_new_tokens=sampling.max_tokens - drawn,
            eos_token_id=list(self._end_tokens),
            pad_token_id=self._end_tokens[0],
        )

    def sample_jobs(self, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
        """Sample jobs one after the other."""
        return one_by_one(self, jobs, sampling)

    def release(self) -> None:
        """Drop the model and free its memory; `load` reads a model again."""
        self._model = None
        return_unused_memory()

    def close(self) -> None:
        """Drop the model."""
        self.release()


def _make_warpers(sampling: SamplingConfig) -> list[Warper]:
    """Return the temperature and top-p warpers, in the order in which `generate` applies them."""
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    if sampling.temperature == 0:
        return []
    warpers: list[Warper] = []
    if sampling.temperature != 1:
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
