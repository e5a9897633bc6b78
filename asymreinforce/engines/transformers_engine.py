"""The engine on transformers' `generate`, for machines where vLLM cannot be installed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.engines.device_memory import return_unused_memory
from asymreinforce.engines.failure import described
from asymreinforce.engines.protocol import Completion, DrawnJobs, Job, one_by_one
from asymreinforce.errors import EngineError
from asymreinforce.policy.checkpoint import end_tokens, load_model

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


class TransformersEngine:
    """Samples with `generate`; prompts are padded on the left, and the cache lives for one call."""

    def __init__(self, engine: EngineConfig, policy: PolicyConfig):
        self._config = engine
        self._policy = policy
        self._model: PreTrainedModel | None = None
        self._end_tokens: tuple[int, ...] = ()

    def load(self, checkpoint: Path) -> None:
        """Load a checkpoint in the policy's dtype, onto CUDA where there is one."""
        from transformers import GenerationConfig

        model = load_model(
            checkpoint,
            dtype=getattr(torch, self._policy.dtype),
            trust_remote_code=self._policy.trust_remote_code,
            safetensors_only=self._policy.safetensors_only,
        )
        self._end_tokens = end_tokens(checkpoint, trust_remote_code=self._policy.trust_remote_code)
        # A checkpoint may bring top-k or a repetition penalty of its own; mu has neither.
        model.generation_config = GenerationConfig()
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def use(self, model: "PreTrainedModel", *, end_tokens: tuple[int, ...]) -> None:
        """Sample from a model that is in memory already, such as one in training."""
        self._model, self._end_tokens = model, end_tokens

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> list[list[Completion]]:
        """Draw completions, `engine.max_sequences` at once."""
        if self._model is None:
            raise EngineError("the engine has no checkpoint yet; call load first")
        model, threads = self._model, torch.get_num_threads()
        was_training = model.training
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(seed)
            torch.set_num_threads(self._config.threads)
            model.eval()
            try:
                return self._sample(prompts, sampling)
            except RuntimeError as error:  # out of memory is one
                raise described("the engine failed while it sampled", error) from error
            finally:
                torch.set_num_threads(threads)
                model.train(was_training)

    def _sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig
    ) -> list[list[Completion]]:
        count = sampling.samples_per_prompt
        rows = [prompt for prompt in prompts for _ in range(count)]
        settings = self._generation_config(sampling)
        size = self._config.max_sequences
        flat: list[Completion] = []
        for start in range(0, len(rows), size):
            flat += self._generate(rows[start : start + size], settings)
        return [flat[i : i + count] for i in range(0, len(flat), count)]

    def _generate(
        self, rows: Sequence[Sequence[int]], settings: "GenerationConfig"
    ) -> list[Completion]:
        assert self._model is not None
        width = max(map(len, rows))
        pad = self._end_tokens[0]
        ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        device = self._model.device
        output: Any = self._model.generate(
            ids.to(device), attention_mask=mask.to(device), generation_config=settings
        )
        drawn_BT = output.sequences[:, width:]
        # scores are the logits after temperature and top-p: what the token was drawn from
        logps_BT = torch.stack(
            [
                scores_BV.float().log_softmax(-1).gather(1, drawn_BT[:, t : t + 1])[:, 0]
                for t, scores_BV in enumerate(output.scores)
            ],
            dim=1,
        )
        return [self._completion(*row) for row in zip(drawn_BT, logps_BT, strict=True)]

    def _completion(self, drawn_T: Tensor, logps_T: Tensor) -> Completion:
        tokens = drawn_T.tolist()
        end = next((i for i, token in enumerate(tokens) if token in self._end_tokens), None)
        length = len(tokens) if end is None else end + 1
        return Completion(
            tokens[:length], logps_T[:length].tolist(), "length" if end is None else "stop"
        )

    def _generation_config(self, sampling: SamplingConfig) -> "GenerationConfig":
        from transformers import GenerationConfig

        drawn = (
            {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            if sampling.temperature > 0
            else {"do_sample": False}
        )
        return GenerationConfig(
            **drawn,
            top_k=0,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=list(self._end_tokens),
            pad_token_id=self._end_tokens[0],
            output_scores=True,
            return_dict_in_generate=True,
        )

    def sample_jobs(self, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
        """Sample jobs one after the other."""
        return one_by_one(self, jobs, sampling)

    def release(self) -> None:
        """Drop the model; `load` reads it again."""
        self._model = None
        return_unused_memory()

    def identity(self) -> dict[str, Any]:
        """The batch size is part of it, since rounding depends on the shape of a batch."""
        return {
            "name": "transformers",
            "threads": self._config.threads,
            "max_sequences": self._config.max_sequences,
            "dtype": self._policy.dtype,
        }

    def close(self) -> None:
        """Drop the model."""
        self.release()
