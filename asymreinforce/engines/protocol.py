"""What an inference engine is: token ids in, token ids with log-probabilities out."""

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from asymreinforce.config import SamplingConfig
from asymreinforce.data.contracts import FinishReason


class Completion(NamedTuple):
    """One sampled completion; its end-of-sequence token, where it ended by one, is included."""

    token_ids: list[int]
    logps: list[float]
    """log mu of each token under the distribution that it was drawn from."""
    finish_reason: FinishReason


class Job(NamedTuple):
    """Prompts that one seed samples; the name says whose completions come back."""

    name: str
    prompts: Sequence[Sequence[int]]
    seed: int


Drawn = list[list[Completion]]
"""The completions of each prompt of a job."""
DrawnJobs = Generator[tuple[str, Drawn], None, None]
"""Names of jobs with what was drawn for them."""


class Engine(Protocol):
    """Samples completions of one checkpoint at a time.

    An engine owns its threads, its key/value cache (which never outlives a `load`) and its random
    state, which it leaves as it found it. On CPU the completions of a call are a function of the
    checkpoint, the prompts, the sampling settings and the seed.
    """

    def load(self, checkpoint: Path) -> None:
        """Start, or swap in the weights of another checkpoint of the same architecture.

        Raises `EngineError` where the library refuses, `InputError` for a bad checkpoint.
        """

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> Drawn:
        """Draw `sampling.samples_per_prompt` completions of each prompt (`sampling.seed` unused).

        Prompts leave room for `max_tokens` in the context, which `engines/encoding.py` sees to.
        Raises `EngineError` where the library fails.
        """

    def sample_jobs(self, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
        """Yield (name, completions) of each job when they are drawn, in whatever order.

        A job's completions are those of `sample` with its seed. An engine may take jobs ahead, so
        that it has work while earlier ones end: about two beyond what it decodes at once.
        """

    def release(self) -> None:
        """Give the device's memory back until the next `load`, for a trainer to use."""

    def close(self) -> None:
        """Give back memory and threads."""


def one_by_one(engine: Engine, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
    """Sample jobs one after the other: `sample_jobs` for engines that take none ahead."""
    for job in jobs:
        yield job.name, engine.sample(job.prompts, sampling, seed=job.seed)
