"""The engine on vLLM: in process on CPU and on one GPU, so that it can be re-seeded per shard."""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.data import files
from asymreinforce.engines.failure import described
from asymreinforce.engines.protocol import Completion
from asymreinforce.errors import AsymreinforceError, EngineError
from asymreinforce.policy.checkpoint import context_of, end_tokens


class VllmEngine:
    """Starts vLLM at the first `load`; later ones swap weights in milliseconds.

    Prefix caching is off: keys and values of old weights would be used in silence.
    """

    def __init__(self, engine: EngineConfig, policy: PolicyConfig, *, log: Path):
        self._config = engine
        self._policy = policy
        self._log = log
        self._llm: Any = None
        self._end_tokens: tuple[int, ...] = ()

    def load(self, checkpoint: Path) -> None:
        """Start vLLM on a checkpoint, or reload its weights."""
        self._end_tokens = end_tokens(checkpoint, trust_remote_code=self._policy.trust_remote_code)
        path = str(checkpoint.resolve())
        with self._redirected(f"vLLM cannot load {checkpoint}"):
            if self._llm is None:
                self._llm = self._start(path, context_of(checkpoint))
            else:
                self._llm.collective_rpc("reload_weights", kwargs={"weights_path": path})
                self._llm.collective_rpc(refresh_tied_head)

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> list[list[Completion]]:
        """Draw completions; the generator is seeded before, and torch's state put back after."""
        import torch
        from vllm import SamplingParams

        if self._llm is None:
            raise EngineError("the engine has no checkpoint yet; call load first")
        parameters = SamplingParams(
            n=sampling.samples_per_prompt,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop_token_ids=list(self._end_tokens),
            logprobs=0,
            detokenize=False,
        )
        threads = torch.get_num_threads()
        with self._redirected("vLLM failed while it sampled"), torch.random.fork_rng():
            torch.set_num_threads(self._config.threads)
            try:
                self._llm.collective_rpc(reseed, args=(seed,))
                outputs = self._llm.generate(
                    [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                    parameters,
                    use_tqdm=False,
                )
            finally:
                torch.set_num_threads(threads)
        return [[self._completion(drawn) for drawn in output.outputs] for output in outputs]

    def identity(self) -> dict[str, Any]:
        """What determines the draws on CPU: how sequences are batched, threads and dtype."""
        return {
            "name": "vllm",
            "threads": self._config.threads,
            "max_sequences": self._config.max_sequences,
            "dtype": self._policy.dtype,
            "tensor_parallel_size": self._config.tensor_parallel_size,
        }

    def close(self) -> None:
        """Stop vLLM and free its cache."""
        if self._llm is None:
            return
        with contextlib.suppress(Exception), self._redirected("vLLM did not stop"):
            self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()

    def _completion(self, drawn: Any) -> Completion:
        tokens = list(drawn.token_ids)
        logps = [
            entries[token].logprob for token, entries in zip(tokens, drawn.logprobs, strict=True)
        ]
        return Completion(tokens, logps, "stop" if tokens[-1] in self._end_tokens else "length")

    def _start(self, path: str, context: int | None) -> Any:
        self._set_environment()
        import torch
        from vllm import LLM

        threads, set_num_threads = torch.get_num_threads(), torch.set_num_threads
        set_num_threads(self._config.threads)
        try:
            with torch.random.fork_rng():
                return LLM(
                    model=path,
                    dtype=self._policy.dtype,
                    max_model_len=min(self._policy.context, context or self._policy.context),
                    max_num_seqs=self._config.max_sequences,
                    tensor_parallel_size=self._config.tensor_parallel_size,
                    gpu_memory_utilization=self._config.gpu_memory_share,
                    trust_remote_code=self._policy.trust_remote_code,
                    enforce_eager=self._config.eager,
                    enable_prefix_caching=False,
                    # log-probabilities of the distribution that a token was drawn from
                    logprobs_mode="processed_logprobs",
                    # a checkpoint may bring top-k or a repetition penalty of its own; mu has none
                    generation_config="vllm",
                    load_format="safetensors" if self._policy.safetensors_only else "auto",
                    seed=0,
                )
        finally:
            # vLLM on CPU puts one in its place that does nothing, for the whole process.
            torch.set_num_threads = set_num_threads
            set_num_threads(threads)

    def _set_environment(self) -> None:
        in_process = self._config.tensor_parallel_size == 1
        settings = {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if in_process else "1",
            # a function is sent to the workers by pickle, from this process alone
            "VLLM_ALLOW_INSECURE_SERIALIZATION": "0" if in_process else "1",
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(self._config.memory_gib))),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(self._config.threads),
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_COLOR": "0",
        }
        os.environ.update(settings)

    @contextlib.contextmanager
    def _redirected(self, failure: str) -> Iterator[None]:
        """Send what vLLM and its libraries print to the log file; say where it is if they fail."""
        files.make_directory(self._log.parent)
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        try:
            with self._log.open("ab") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
                yield
        except AsymreinforceError:
            raise
        except ImportError as error:
            raise EngineError(
                f"vLLM is not installed or does not import ({error}); install the extra 'cpu' or "
                "'gpu', or use engine=transformers"
            ) from error
        except Exception as error:
            raise EngineError(f"{described(failure, error)}; its log is {self._log}") from error
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])


def reseed(worker: Any, seed: int) -> None:
    """Seed torch's generator in a vLLM worker: per-request seeds crash on CPU."""
    import torch

    torch.manual_seed(seed)


def refresh_tied_head(worker: Any) -> None:
    """Repack a language-model head that shares its weight with the embedding.

    On CPU vLLM packs each linear layer's weight when it loads it. A tied head has no weight of its
    own in the checkpoint, so a reload swaps the embedding and leaves the packed head as it was.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in worker.model_runner.get_model().modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)
