"""Feed jobs to an engine request by request, so that the engine always has requests waiting.

An engine that receives one job at a time runs in small batches at the end of each job. Here the
requests of the next jobs are queued before the engine needs them.

vLLM on CUDA gives the i-th of a request's n completions the request's seed plus i. Without a seed,
vLLM draws one from a generator that every engine start sets to 0, so that two starts with different
shards would draw the same completions. So each request gets a seed (`request_seed`).
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from asymreinforce.engines.protocol import Completion, DrawnJobs, Job

BOUND = 2**62
"""vLLM keeps seeds as signed 64-bit integers; seeds below this bound leave room for the sums."""


def request_seed(seed: int, *, place: int, samples: int) -> int:
    """Return the first of `samples` consecutive seeds, for the prompt at index `place` of a call.

    All completions of a call have different seeds.
    """
    # The checkpoint does not enter, so that evaluations of several checkpoints are paired.
    return seed % BOUND + place * samples


class RequestEngine(Protocol):
    """The methods of vLLM's `LLMEngine` that this module calls."""

    def add_request(self, request_id: str, prompt: Any, params: Any) -> Any:
        """Queue a request."""

    def step(self) -> list[Any]:
        """Run one engine step; return outputs with `request_id`, `finished` and `outputs`."""

    def abort_request(self, request_ids: list[str]) -> None:
        """Drop requests that are not finished."""


class Request(NamedTuple):
    """A prompt and its sampling parameters, in the engine's types."""

    prompt: Any
    params: Any


class _Open:
    """A job that still waits for some of its completions."""

    def __init__(self, name: str, requests: int):
        self.name = name
        self.missing = requests
        self.groups: list[list[Completion]] = [[] for _ in range(requests)]


# One counter for the process: an engine that outlives a call must never see an id twice.
_NUMBERS = itertools.count()


def stream_jobs(
    engine: RequestEngine,
    jobs: Iterable[Job],
    *,
    requests: Callable[[Job], list[Request]],
    completions: Callable[[Any], list[Completion]],
    samples: int,
    capacity: int,
) -> DrawnJobs:
    """Yield (name, completions) of each job as soon as its last completion is drawn.

    `capacity` is the number of completions that the engine decodes at once, `samples` the number
    per request. Beyond `capacity` one to two whole jobs wait, as long as there are jobs. Unfinished
    requests are aborted if the caller stops early.
    """
    more, waiting = iter(jobs), dict[str, tuple[_Open, int]]()
    width, ended = 0, False
    try:
        while True:
            while not ended and len(waiting) * samples < capacity + width:
                job = next(more, None)
                if job is None:
                    ended = True
                    break
                added = requests(job)
                opened = _Open(job.name, len(added))
                for place, request in enumerate(added):
                    key = f"{next(_NUMBERS)}"
                    waiting[key] = (opened, place)
                    engine.add_request(key, request.prompt, request.params)
                width = len(added) * samples
                if not added:
                    yield job.name, []
            if not waiting:
                return
            for output in engine.step():
                if not output.finished:
                    continue
                opened, place = waiting.pop(output.request_id)
                opened.groups[place] = completions(output)
                opened.missing -= 1
                if not opened.missing:
                    yield opened.name, opened.groups
    finally:
        if waiting:
            with contextlib.suppress(Exception):  # an engine that failed may refuse this as well
                engine.abort_request(list(waiting))
