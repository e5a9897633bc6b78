"""Feeding jobs to an engine that works on requests, so that it always has some to begin.

An engine that is given one job at a time runs dry at the end of each: its last completions are
decoded few at once. Here requests of the next jobs wait in the engine before it needs them.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from asymreinforce.engines.protocol import Completion, DrawnJobs, Job


class RequestEngine(Protocol):
    """What is used of vLLM's `LLMEngine`."""

    def add_request(self, request_id: str, prompt: Any, params: Any) -> Any:
        """Queue a request."""

    def step(self) -> list[Any]:
        """Work a little; return outputs with `request_id`, `finished` and `outputs`."""

    def abort_request(self, request_ids: list[str]) -> None:
        """Forget requests that are not finished."""


class Request(NamedTuple):
    """A prompt as the engine takes it, and how to sample it."""

    prompt: Any
    params: Any


class _Open:
    """A job of which some completions are still to come."""

    def __init__(self, name: str, requests: int):
        self.name = name
        self.missing = requests
        self.groups: list[list[Completion]] = [[] for _ in range(requests)]


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

    `capacity` is how many completions the engine decodes at once, `samples` how many a request has.
    A whole job at least waits beyond them, and two at most, as long as there are jobs. Requests
    that are not finished when the caller leaves are aborted.
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
