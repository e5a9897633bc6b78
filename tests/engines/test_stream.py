"""The stream of jobs: the engine always has work, holds a few jobs, and loses none."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from asymreinforce.engines.protocol import Completion, Job
from asymreinforce.engines.stream import Request, stream_jobs

CAPACITY, SAMPLES, PROMPTS = 12, 2, 5


class Output(NamedTuple):
    request_id: str
    finished: bool
    outputs: list[Any]


class Requests:
    """Decodes `CAPACITY` completions at once, in the order in which they came; lengths are random.

    It refuses what vLLM refuses: an id that is at work, and a step without work.
    """

    def __init__(self, *, fails_at: int | None = None) -> None:
        self._left: dict[str, int] = {}
        self._what: dict[str, Any] = {}
        self._lengths = random.Random(0)
        self._fails_at = fails_at
        self.sequences: list[int] = []
        """Completions that were at work or waited, at each step."""
        self.aborted: list[str] = []

    def add_request(self, request_id: str, prompt: Any, params: Any) -> None:
        assert request_id not in self._left
        self._left[request_id] = self._lengths.randint(1, 9)
        self._what[request_id] = (prompt, params)

    def step(self) -> list[Output]:
        assert self._left
        self.sequences.append(len(self._left) * SAMPLES)
        if len(self.sequences) == self._fails_at:
            raise RuntimeError("the core died")
        at_work = list(self._left)[: CAPACITY // SAMPLES]
        for key in at_work:
            self._left[key] -= 1
        ended = [key for key in at_work if not self._left[key]]
        for key in ended:
            del self._left[key]
        unfinished = [Output(key, False, []) for key in at_work if key in self._left]
        return unfinished + [Output(key, True, [self._what[key]]) for key in ended]

    def abort_request(self, request_ids: list[str]) -> None:
        self.aborted += request_ids
        for key in request_ids:
            self._left.pop(key, None)


def jobs(count: int, taken: list[str]) -> Iterator[Job]:
    for number in range(count):
        taken.append(f"job-{number}")
        yield Job(f"job-{number}", [[number, place] for place in range(PROMPTS)], seed=number)


def streamed(engine: Requests, count: int, taken: list[str] | None = None) -> Any:
    return stream_jobs(
        engine,
        jobs(count, [] if taken is None else taken),
        requests=lambda job: [Request(prompt, job.seed) for prompt in job.prompts],
        completions=lambda output: [Completion(list(output.outputs[0][0]), [], "stop")],
        samples=SAMPLES,
        capacity=CAPACITY,
    )


def test_every_job_comes_back_once_with_its_own_completions_in_the_order_of_its_prompts() -> None:
    drawn = dict(streamed(Requests(), 20))
    assert sorted(drawn) == sorted(f"job-{number}" for number in range(20))
    for number in range(20):
        tokens = [group[0].token_ids for group in drawn[f"job-{number}"]]
        assert tokens == [[number, place] for place in range(PROMPTS)]


def test_the_engine_has_work_beyond_what_it_decodes_at_once_until_no_job_is_left() -> None:
    engine, taken = Requests(), list[str]()
    left_waiting = []
    for _ in streamed(engine, 20, taken):
        if len(taken) < 20:
            left_waiting.append(len(engine._left) * SAMPLES)
    # between two jobs, while the caller writes one down, and at every step before the last jobs
    assert min(left_waiting) >= CAPACITY
    full = engine.sequences[: len(engine.sequences) // 2]
    assert min(full) >= CAPACITY + PROMPTS * SAMPLES


def test_at_most_two_jobs_wait_beyond_what_it_decodes_at_once() -> None:
    engine = Requests()
    list(streamed(engine, 20))
    assert max(engine.sequences) <= CAPACITY + 2 * PROMPTS * SAMPLES


def test_a_caller_that_leaves_takes_its_requests_away() -> None:
    engine = Requests()
    drawn = streamed(engine, 20)
    next(drawn)
    assert engine._left
    drawn.close()
    assert not engine._left and engine.aborted


def test_the_engine_s_own_failure_is_what_the_caller_is_told() -> None:
    class Dead(Requests):
        def abort_request(self, request_ids: list[str]) -> None:
            raise RuntimeError("cannot abort, the core died")

    with pytest.raises(RuntimeError, match=r"^the core died$"):
        list(streamed(Dead(fails_at=3), 4))


def test_what_goes_wrong_with_a_job_ahead_is_raised_and_leaves_nothing_in_the_engine() -> None:
    def broken() -> Iterator[Job]:
        yield from jobs(2, [])
        raise ValueError("prompt q7 is too long")

    engine = Requests()
    drawn = stream_jobs(
        engine,
        broken(),
        requests=lambda job: [Request(prompt, None) for prompt in job.prompts],
        completions=lambda output: [],
        samples=SAMPLES,
        capacity=CAPACITY,
    )
    with pytest.raises(ValueError, match="q7"):
        list(drawn)
    assert not engine._left


def test_no_jobs_and_a_job_without_prompts_give_what_they_hold() -> None:
    assert list(streamed(Requests(), 0)) == []
    empty = [Job("empty", [], 0)]
    drawn = stream_jobs(
        Requests(),
        empty,
        requests=lambda job: [],
        completions=lambda output: [],
        samples=SAMPLES,
        capacity=CAPACITY,
    )
    assert list(drawn) == [("empty", [])]
