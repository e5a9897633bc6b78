"""The engine on vLLM.

On CPU vLLM runs in this process, and torch's generator is seeded for each job, so that a job's
completions are a function of its seed. On CUDA each request has its seed, so that jobs may overlap,
and vLLM runs in separate processes, which decode while this process writes shards.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from asymreinforce.config import EngineConfig, PolicyConfig, SamplingConfig
from asymreinforce.data import files
from asymreinforce.data.contracts import FinishReason
from asymreinforce.engines.device_memory import return_unused_memory
from asymreinforce.engines.failure import engine_error, require_finite
from asymreinforce.engines.protocol import Completion, Drawn, DrawnJobs, Job
from asymreinforce.engines.stream import Request, request_seed, stream_jobs
from asymreinforce.engines.vllm_features import ON_CPU, Features, features_of
from asymreinforce.engines.vllm_worker import end_with, refresh_tied_head, reseed
from asymreinforce.errors import AsymreinforceError, EngineError
from asymreinforce.model.checkpoint import context_of, end_tokens, require_whole_checkpoint


class VllmEngine:
    """Starts vLLM at the first `load`; later loads swap weights in milliseconds.

    `features` defaults to the features of the platform that vLLM detects.
    """

    def __init__(
        self,
        engine: EngineConfig,
        policy: PolicyConfig,
        *,
        log: Path,
        features: Features | None = None,
    ):
        self._config = engine
        self._policy = policy
        self._log = log
        self._given = features
        self._llm: Any = None
        self._sleeps = False
        self._end_tokens: tuple[int, ...] = ()

    @property
    def _features(self) -> Features:
        if self._given is None:
            from vllm.platforms import current_platform

            self._given = features_of(current_platform)
        return self._given

    def load(self, checkpoint: Path) -> None:
        """Start vLLM on a checkpoint, or wake vLLM up and reload its weights.

        Raises `InputError` if the checkpoint is incomplete, `EngineError` if vLLM fails.
        """
        trusted = self._policy.trust_remote_code
        # vLLM ignores some missing or unknown weights without an error.
        require_whole_checkpoint(checkpoint, trust_remote_code=trusted)
        self._end_tokens = end_tokens(checkpoint, trust_remote_code=trusted)
        path = str(checkpoint.resolve())
        with self._redirected_output(f"vLLM cannot load {checkpoint}"):
            if self._llm is None:
                return_unused_memory()
                self._llm = self._start(path, context_of(checkpoint))
                return
            if self._sleeps:
                return_unused_memory()
                self._llm.wake_up()
                self._sleeps = False
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": path})
            self._llm.collective_rpc(refresh_tied_head)
            # Otherwise vLLM would use keys and values of the earlier weights without an error.
            if self._features.caches_prefixes and not self._llm.reset_prefix_cache():
                raise EngineError(
                    "vLLM kept keys and values of the earlier weights, because requests are in "
                    f"progress; run the same command again; its log is {self._log}"
                )

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> Drawn:
        """Draw completions; torch's random state and thread count are restored afterwards."""
        ((_, drawn),) = self._draw_jobs([Job("", prompts, seed)], sampling, generator_seed=seed)
        return drawn

    def sample_jobs(self, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
        """Yield each job's completions; on CUDA the next jobs begin before a job ends."""
        if self._features.streams:
            yield from self._draw_jobs(jobs, sampling, generator_seed=0)
            return
        for job in jobs:
            yield from self._draw_jobs([job], sampling, generator_seed=job.seed)

    def _draw_jobs(
        self, jobs: Iterable[Job], sampling: SamplingConfig, *, generator_seed: int
    ) -> DrawnJobs:
        """Yield jobs as they end."""
        import torch

        if self._llm is None or self._sleeps:
            raise EngineError("the engine has no checkpoint yet; call load first")
        drawn = stream_jobs(
            self._llm.llm_engine,
            jobs,
            requests=lambda job: self._make_requests(job, sampling),
            completions=lambda output: [self._read_completion(one) for one in output.outputs],
            samples=sampling.samples_per_prompt,
            capacity=self._config.max_sequences,
        )
        with contextlib.closing(drawn):
            for part in itertools.count():
                # per job, so that at each yield the caller has its own output and random state
                threads = torch.get_num_threads()
                with (
                    self._redirected_output("vLLM failed while it sampled"),
                    torch.random.fork_rng(devices=[]),
                ):
                    torch.set_num_threads(self._config.threads)
                    try:
                        if not self._features.seeds_requests:
                            self._llm.collective_rpc(reseed, args=(generator_seed + part,))
                        job = next(drawn, None)
                    finally:
                        torch.set_num_threads(threads)
                if job is None:
                    return
                yield job

    def _make_requests(self, job: Job, sampling: SamplingConfig) -> list[Request]:
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        seeds = [
            request_seed(job.seed, place=place, samples=sampling.samples_per_prompt)
            if self._features.seeds_requests
            else None
            for place in range(len(job.prompts))
        ]
        return [
            Request(
                tokens_input(list(prompt)),
                SamplingParams(
                    n=sampling.samples_per_prompt,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_tokens,
                    stop_token_ids=list(self._end_tokens),
                    logprobs=0,
                    flat_logprobs=True,
                    detokenize=False,
                    seed=seed,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                ),
            )
            for prompt, seed in zip(job.prompts, seeds, strict=True)
        ]

    def release(self) -> None:
        """Free the weights and the cache on CUDA by vLLM's sleep mode, until the next `load`."""
        if self._llm is None or self._sleeps or self._features == ON_CPU:
            return
        if not self._features.sleeps:
            self.close()
            return
        with self._redirected_output("vLLM cannot give back the memory of the device"):
            # Level 2 drops the weights; level 1 would copy them to the host's memory.
            self._llm.sleep(level=2)
        self._sleeps = True

    def close(self) -> None:
        """Stop vLLM and free its memory; errors of vLLM at its end are ignored."""
        if self._llm is None:
            return
        with contextlib.suppress(Exception), self._redirected_output("vLLM did not stop"):
            self._llm.llm_engine.engine_core.shutdown()
        self._llm, self._sleeps = None, False
        return_unused_memory()

    def _read_completion(self, drawn: Any) -> Completion:
        tokens = list(drawn.token_ids)
        reason: FinishReason = "stop" if tokens[-1] in self._end_tokens else "length"
        return Completion(tokens, require_finite(list(drawn.logprobs.logprobs)), reason)

    def _start(self, path: str, context: int | None) -> Any:
        own_process = self._features.own_process or self._config.tensor_parallel_size > 1
        self._set_environment(own_process=own_process)
        import torch
        from vllm import LLM

        threads, set_num_threads = torch.get_num_threads(), torch.set_num_threads
        set_num_threads(self._config.threads)
        try:
            with self._omp_threads(), torch.random.fork_rng(devices=[]):
                llm = LLM(
                    model=path,
                    dtype=self._policy.dtype,
                    max_model_len=min(self._policy.context, context or self._policy.context),
                    max_num_seqs=self._config.max_sequences,
                    tensor_parallel_size=self._config.tensor_parallel_size,
                    gpu_memory_utilization=self._config.gpu_memory_share,
                    trust_remote_code=self._policy.trust_remote_code,
                    enforce_eager=self._config.eager,
                    enable_prefix_caching=self._features.caches_prefixes,
                    enable_sleep_mode=self._features.sleeps,
                    # log-probabilities of the distribution that a token was drawn from
                    logprobs_mode="processed_logprobs",
                    # a checkpoint's defaults may set top-k or a repetition penalty; mu has neither
                    generation_config="vllm",
                    load_format="safetensors" if self._policy.safetensors_only else "auto",
                    seed=0,
                )
        finally:
            # vLLM on CPU replaces this function in the whole process by one that does nothing.
            torch.set_num_threads = set_num_threads
            set_num_threads(threads)
        if own_process:
            llm.collective_rpc(end_with, args=(os.getpid(),))
        return llm

    def _set_environment(self, *, own_process: bool) -> None:
        settings = {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if own_process else "0",
            # collective_rpc pickles a function for the workers; only this process sends to them
            "VLLM_ALLOW_INSECURE_SERIALIZATION": "1" if own_process else "0",
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(self._config.memory_gib))),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_COLOR": "0",
        }
        if self._features.own_process:
            # A fork would copy locks that other threads hold, and would share CUDA if it has begun.
            settings["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        else:
            settings["OMP_NUM_THREADS"] = str(self._config.threads)
        os.environ.update(settings)

    @contextlib.contextmanager
    def _omp_threads(self) -> Iterator[None]:
        """Hide OMP_NUM_THREADS from vLLM's processes on CUDA."""
        # The command line sets one thread for work on CPUs.
        is_hidden = self._features.own_process
        hidden = os.environ.pop("OMP_NUM_THREADS", None) if is_hidden else None
        try:
            yield
        finally:
            if hidden is not None:
                os.environ["OMP_NUM_THREADS"] = hidden

    @contextlib.contextmanager
    def _redirected_output(self, failure: str) -> Iterator[None]:
        """Redirect the output of vLLM and its libraries to the log file; their errors name it."""
        files.make_directory(self._log.parent)
        # File descriptors, not sys.stdout: native code and child processes print too.
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        try:
            with self._log.open("ab") as log_file:
                os.dup2(log_file.fileno(), 1)
                os.dup2(log_file.fileno(), 2)
                yield
        except AsymreinforceError:
            raise
        except ImportError as error:
            raise EngineError(
                f"vLLM is not installed or does not import ({error}); install the extra 'cpu' or "
                "'gpu', or use engine=transformers"
            ) from error
        except Exception as error:
            raise EngineError(f"{engine_error(failure, error)}; its log is {self._log}") from error
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
