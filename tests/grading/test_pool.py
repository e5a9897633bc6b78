import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.grading.pool.pool import GraderPool
from asymreinforce.grading.verdict import GradedRow, Verdict
from asymreinforce.processes import children_of
from tests.fixtures import hostile_grader as hostile

GRADER = f"{hostile.__name__}:grade"
GOOD = GradedRow(None, "5", "5")
WRONG = GradedRow(None, "5", "4")
NAP = f"600.{os.getpid()}"
"""Seconds that forked processes sleep, by which this run knows its own."""


def pool(
    workers: int = 2,
    *,
    cpu_limit_s: float = 1.0,
    wall_limit_s: float = 2.0,
    memory_limit_mb: int = 256,
) -> GraderPool:
    return GraderPool(
        GRADER,
        workers=workers,
        cpu_limit_s=cpu_limit_s,
        wall_limit_s=wall_limit_s,
        memory_limit_mb=memory_limit_mb,
    )


def doing(*actions: str) -> list[GradedRow]:
    named = (f"{action} {NAP}" if action.startswith("fork") else action for action in actions)
    return [GradedRow(None, "5", action) for action in named]


def descendants() -> set[int]:
    found, new = set(), {os.getpid()}
    while new:
        new = {child for pid in new for child in children_of(pid)}
        found |= new
    return found


def processes_that(mention: str) -> list[str]:
    """Processes of this checkout, since the same test may run in another."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            is_ours = (entry / "cwd").readlink() == Path.cwd()
        except OSError:
            continue
        if is_ours and mention in line:
            found.append(f"{entry.name} {line}")
    return found


@pytest.fixture(autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    before = descendants()
    yield
    assert descendants() <= before
    assert not processes_that(f"sleep {NAP}")


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("hang", "timeout"),
        ("hold_the_interpreter", "timeout"),
        ("ignore_signals", "timeout"),
        ("stop", "timeout"),
        ("fork_and_hang", "timeout"),
        ("eat", "error"),
        ("raise", "error"),
        ("interrupt", "error"),
        ("exit", "error"),
        ("end 0", "error"),
        ("end 77", "error"),
        ("end 78", "error"),
        ("crash", "error"),
        ("close", "error"),
        ("scribble", "error"),
        ("return text", "error"),
        ("return nan", "error"),
        ("return list", "error"),
        ("return none", "no_answer"),
        ("fork", "ok"),
        ("fork_and_return", "ok"),
        ("keep 200", "ok"),
        ("thread", "ok"),
        ("print", "ok"),
    ],
)
def test_a_bad_row_costs_itself_and_nothing_else(action: str, status: str) -> None:
    rows = [*[GOOD] * 20, *doing(action), *[GOOD, WRONG] * 20]
    with pool() as graders:
        verdicts = list(graders.grade(rows))
    assert verdicts[20].status == status
    assert len(verdicts[20].message or "") <= 200
    expected = [Verdict(float(row is GOOD), None, "ok") for row in rows]
    assert verdicts[:20] + verdicts[21:] == expected[:20] + expected[21:]


def test_many_bad_rows_in_a_row_are_told_apart() -> None:
    actions = ["end 3", "raise", "hang", "eat", "5", "crash", "fork", "keep 100"] * 3
    with pool(wall_limit_s=4.0) as graders:  # room for a loaded machine to hand out the memory
        statuses = [verdict.status for verdict in graders.grade(doing(*actions))]
    assert statuses == ["error", "error", "timeout", "error", "ok", "error", "ok", "ok"] * 3


def test_a_file_without_end_is_cut_off_at_the_limit_and_costs_its_row(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pool(memory_limit_mb=32) as graders:
        verdicts = list(graders.grade([GOOD, *doing(f"fill {file}"), GOOD]))
    assert [verdict.status for verdict in verdicts] == ["ok", "error", "ok"]
    assert file.stat().st_size == 32 * 2**20


def test_graders_see_no_credential_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "hf_PlantedTokenOfATest0123456789"
    for name in ("HF_TOKEN", "WANDB_API_KEY", "MY_SERVICE_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"planted {token}")
    monkeypatch.setenv("UNSUSPECTED", token)
    monkeypatch.setenv("INDEX", "https://me:planted@host/simple")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/planted")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "planted"[:5])
    with pool(workers=1) as graders:
        told = [v.extracted_answer for v in graders.grade(doing("environment plant"))]
    assert told == ["TOKENIZERS_PARALLELISM"]


def test_graders_see_listed_variables_and_those_that_the_user_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LANG", "SERVICE", "MY_DATA", "MY_KEYS"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("ASYMRL_GRADER_ENVIRONMENT", "MY_DATA, MY_KEYS")
    with pool(workers=1) as graders:
        told = [v.extracted_answer for v in graders.grade(doing("environment plant"))]
    assert told == ["LANG MY_DATA MY_KEYS"]


ASKING = """
import sys
from asymreinforce.grading.pool.pool import GraderPool
from asymreinforce.grading.verdict import GradedRow
from asymreinforce.processes import children_of
with GraderPool(sys.argv[1], workers=1, cpu_limit_s=5, memory_limit_mb=256) as graders:
    (verdict,) = graders.grade([GradedRow(None, "5", "ancestors planted-secret")])
print(verdict.status, verdict.extracted_answer or "none")
"""


def test_graders_cannot_read_the_environment_of_the_processes_above_them() -> None:
    """The kernel keeps it from another user namespace, if there may be any on this system."""
    allowed = subprocess.run(["unshare", "-U", "true"], capture_output=True).returncode == 0
    if not allowed:
        pytest.skip("this system lets nobody make a user namespace")
    done = subprocess.run(
        [sys.executable, "-c", ASKING, GRADER],
        env={**os.environ, "MY_TOKEN": "planted-secret"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["ok", "none"]


def test_messages_say_what_happened() -> None:
    rows = doing("end 3", "eat", "hang", "crash", "return nan", "hold_the_interpreter")
    with pool(1, cpu_limit_s=0.4, wall_limit_s=3, memory_limit_mb=128) as graders:
        verdicts = list(graders.grade(rows))
    assert [verdict.message for verdict in verdicts] == [
        "ended its process with code 3",
        "needed more than 128 MB",
        "ran for more than 3 s",
        f"killed by signal {int(signal.SIGSEGV)}",
        "ValueError: the grader returned the score nan",
        "took more CPU time than 0.4 s",
    ]


def test_the_clock_is_a_rows_own_and_not_its_jobs() -> None:
    with pool(1, cpu_limit_s=0.5, wall_limit_s=60) as graders:
        verdicts = list(graders.grade(doing(*["burn 0.2"] * 4)))
    with pool(1, wall_limit_s=1.2) as graders:
        verdicts += graders.grade(doing(*["sleep 0.3"] * 6))
    assert [verdict.status for verdict in verdicts] == ["ok"] * 10


def test_a_rows_limit_is_of_cpu_time_so_that_no_load_changes_its_verdict() -> None:
    with pool(1, cpu_limit_s=0.3, wall_limit_s=20) as graders:
        verdicts = list(graders.grade(doing("sleep 1", "burn 0.1", "burn 30", "5")))
    assert [verdict.status for verdict in verdicts] == ["ok", "ok", "timeout", "ok"]


def test_an_answer_not_proven_equal_in_its_cpu_time_is_wrong_and_not_left_out() -> None:
    long = "so we go on " * 300_000 + r"\boxed{5}"  # right, which takes longer to find out
    rows = [
        GradedRow(None, "5", "5"),
        GradedRow(None, "5", long),
        GradedRow(None, "5", "Answer: 5"),
    ]
    with GraderPool("math", workers=1, cpu_limit_s=0.02, memory_limit_mb=1024) as graders:
        verdicts = list(graders.grade(rows))
    assert [verdict.score for verdict in verdicts] == [1.0, 0.0, 1.0]
    assert verdicts[1].status == "ok"
    assert verdicts[1].message == "took more CPU time than 0.02 s"


def test_memory_that_earlier_rows_kept_is_not_charged_to_later_ones() -> None:
    with pool(1, memory_limit_mb=256) as graders:
        verdicts = list(graders.grade(doing(*["keep 20", "need 200"] * 10)))
    assert [verdict.status for verdict in verdicts] == ["ok"] * 20


def test_verdicts_do_not_depend_on_the_number_of_workers() -> None:
    rows = doing(*["5", "4", "raise", "end 1", "need 100", "fork", "keep 60"] * 12)
    seen = []
    for workers in (1, 2, 5):
        with pool(workers) as graders:
            seen.append(list(graders.grade(rows)))
    assert seen[0] == seen[1] == seen[2]


def test_rows_are_read_only_so_far_ahead_as_memory_is_bounded() -> None:
    read = 0

    def rows() -> Iterator[GradedRow]:
        nonlocal read
        yield GradedRow(None, "5", "sleep 0.5")
        while read < 200_000:
            read += 1
            yield GOOD

    with pool(2) as graders:
        verdicts = graders.grade(rows())
        assert next(verdicts).status == "ok"
        assert 1_000 < read < 6_000
        verdicts.close()


def test_a_caller_that_stops_reading_can_grade_again() -> None:
    with pool() as graders:
        verdicts = graders.grade(doing("5", *["sleep 0.5"] * 40))
        next(verdicts)
        verdicts.close()
        assert [verdict.score for verdict in graders.grade([GOOD, WRONG])] == [1.0, 0.0]
        assert list(graders.grade([])) == []


def test_an_error_in_the_rows_reaches_the_caller() -> None:
    def rows() -> Iterator[GradedRow]:
        yield GOOD
        raise LookupError("row 2")

    with pool() as graders, pytest.raises(LookupError, match="row 2"):
        list(graders.grade(rows()))


def test_a_row_of_ten_megabytes_and_odd_characters_travels() -> None:
    text = "é\n\x00\u2028" * 2_500_000
    with pool(1, wall_limit_s=20, cpu_limit_s=10) as graders:
        verdicts = list(
            graders.grade([GradedRow(None, text, text), GradedRow('{"a": 1}', "\x00", "\x00")])
        )
    assert [verdict.score for verdict in verdicts] == [1.0, 1.0]


def test_workers_are_of_their_own_and_import_nothing_heavy() -> None:
    import pyarrow  # noqa: F401  (the parent has it, workers must not)

    with pool(1) as graders:
        answer = next(iter(graders.grade(doing("pid")))).extracted_answer
    pid, modules = str(answer).split(" ")
    assert int(pid) != os.getpid()
    assert modules == ""


def test_two_workers_start_in_less_than_a_second() -> None:
    started = time.monotonic()
    with pool() as graders:
        assert next(iter(graders.grade([GOOD]))).score == 1.0
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    ("grader", "message"),
    [
        ("nothing", "no such grader; there are final_answer"),
        (f"{hostile.__name__}:absent", "has no function absent"),
        ("absent_module:grade", "does not import .ModuleNotFoundError"),
        (f"{hostile.__name__}:MEGABYTE", "has no function MEGABYTE"),
    ],
)
def test_a_grader_that_is_not_there_is_a_config_error(grader: str, message: str) -> None:
    with (
        pytest.raises(ConfigError, match=message),
        GraderPool(grader, workers=1, cpu_limit_s=1, memory_limit_mb=64),
    ):
        pass


def test_a_fork_server_that_is_killed_is_reported_and_takes_its_workers_along() -> None:
    with pool() as graders:
        verdicts = graders.grade(doing("5", *["hang"] * 3))
        next(verdicts)
        (fork_server,) = children_of(os.getpid()) & {
            int(line.split(" ")[0])
            for line in processes_that("asymreinforce.grading.pool.fork_server")
        }
        workers = children_of(fork_server)
        assert len(workers) == 2
        os.kill(fork_server, signal.SIGKILL)
        with pytest.raises(AsymreinforceError, match="ended from outside"):
            list(verdicts)
    wait_until(lambda: not [pid for pid in workers if is_alive(pid)])


PARENT = textwrap.dedent(
    """
    import sys
    from asymreinforce.grading.pool.pool import GraderPool
    from asymreinforce.grading.verdict import GradedRow
    sys.path.append(sys.argv[1])
    with GraderPool(sys.argv[2], workers=2, cpu_limit_s=600, memory_limit_mb=256) as graders:
        for verdict in graders.grade([GradedRow(None, "5", "fork_and_hang " + sys.argv[3])] * 64):
            pass
    """
)


@pytest.mark.parametrize("is_stopped", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_and_what_they_forked_end_with_their_parent(
    number: signal.Signals, is_stopped: bool
) -> None:
    tests = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tests, GRADER, NAP], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: len(processes_that(f"sleep {NAP}")) == 2)
        (fork_server,) = children_of(parent.pid)
        workers = children_of(fork_server)
        if is_stopped:
            for pid in (fork_server, *workers):
                os.kill(pid, signal.SIGSTOP)
        parent.send_signal(number)
        parent.wait(timeout=10)
    finally:
        parent.kill()  # it would start others for an hour, and fail the tests that look for them
    wait_until(lambda: not [pid for pid in (fork_server, *workers) if is_alive(pid)])
    wait_until(lambda: not processes_that(f"sleep {NAP}"))
    assert len(workers) == 2


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(holds: object, *, seconds: float = 10.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
