"""The interface of an inference engine: token ids in, token ids with log-probabilities out."""

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from asymreinforce.config import SamplingConfig
from asymreinforce.data.contracts import FinishReason


class Completion(NamedTuple):
    """One sampled completion, with its end-of-sequence token if it ended by one."""

    token_ids: list[int]
    logps: list[float]
    """log mu of each token, under the distribution that the token was drawn from."""
    finish_reason: FinishReason


class Job(NamedTuple):
    """Prompts to sample with one seed; the name identifies the job's completions."""

    name: str
    prompts: Sequence[Sequence[int]]
    seed: int


Drawn = list[list[Completion]]
"""The completions of each prompt of a job."""
DrawnJobs = Generator[tuple[str, Drawn], None, None]
"""(name of a job, its completions), in any order."""


class Engine(Protocol):
    """Samples completions of one checkpoint at a time.

    An engine restores torch's threads and random state after each call, and its key/value cache
    never outlives a `load`. On CPU the completions of a call are a function of the checkpoint, the
    prompts, the sampling settings and the seed.
    """

    def load(self, checkpoint: Path) -> None:
        """Start the engine on a checkpoint, or load new weights of the same architecture.

        Raises `EngineError` if the library fails, `InputError` for a bad checkpoint.
        """

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> Drawn:
        """Draw `sampling.samples_per_prompt` completions of each prompt (`sampling.seed` unused).

        Prompts must leave room for `max_tokens` in the context (`engines/encoding.py` checks).
        Raises `EngineError` if the library fails.
        """

    def sample_jobs(self, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
        """Yield (name, completions) of each job as soon as the job is done, in any order.

        A job's completions are the same as from `sample` with its seed. An engine may begin about
        two jobs ahead, so that it is busy while the last completions of earlier jobs end.
        """

    def release(self) -> None:
        """Free the device's memory for a trainer; the next `load` takes memory again."""

    def close(self) -> None:
        """Stop the engine and free its memory and threads."""


def one_by_one(engine: Engine, jobs: Iterable[Job], sampling: SamplingConfig) -> DrawnJobs:
    """Sample jobs one after the other: `sample_jobs` of an engine that begins no job ahead."""
    for job in jobs:
        yield job.name, engine.sample(job.prompts, sampling, seed=job.seed)
