"""Every write, fsync and rename of every command, visited once with the process killed there.

Then the same command again: what is on disk is what an untouched run leaves, no lease and nothing
half-written among it. A write that no scenario passes fails the test, by its name.
"""

import ast
import os
import signal
from pathlib import Path

import pytest

from tests.fixtures import kills, spies
from tests.fixtures.scenarios import SCENARIOS, lay_out
from tests.fixtures.spies import ROOT, Point
from tests.fixtures.stored_files import read_payload

WRITES = {"publish", "publish_bytes", "publish_json", "publish_sealed", "failpoint"}
SHELL = "asymreinforce/stages/train/shared_store.py"


STAGES = ("init", "bandit", "import", "prepared", "generate", "over a dead lease", "score")
PARTS = {"stages": STAGES, "experiments": tuple(name for name in SCENARIOS if name not in STAGES)}
"""Two processes visit a part each."""
OF_STAGES = (
    *("asymreinforce/bandit/", "asymreinforce/report/bandit", "asymreinforce/stages/init"),
    *("asymreinforce/stages/generate", "asymreinforce/stages/score"),
    *("asymreinforce/imported/", "cli/asymrl/remembered"),
)


def visit(work: Path, policy: Path, part: str) -> None:
    """Run each scenario untouched, then killed at each failpoint that none before it passed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    spies.prepare_this_process(work)
    visited: set[Point] = set()
    here, output, log = work / "here", work / "output", work / "log"
    told = (work / "told").open("a", buffering=1)
    for name, scenario in SCENARIOS.items():
        state = work / "states" / scenario.after if scenario.after else None
        again = scenario.again or scenario.do

        def run(do, at=None):  # type: ignore[no-untyped-def]
            return spies.forked(lambda: do(here), output=output, at=at)

        lay_out(here, state, policy)
        log.unlink(missing_ok=True)
        assert run(scenario.do, spies.recorded(log)) == 0, (name, output.read_text()[-3000:])
        if scenario.again:
            assert run(scenario.again) == 0, (name, output.read_text()[-3000:])
        expected = read_payload(here)
        lay_out(work / "states" / name, here, policy)
        points = spies.passed(log)
        new: dict[Point, int] = {}
        for number, point in enumerate(points, start=1):
            new.setdefault(point.identity, number)
        if name not in PARTS[part]:
            continue  # the other part's, which this part's begin from
        for identity, number in new.items():
            if identity in visited:
                continue
            visited.add(identity)
            lay_out(here, state, policy)
            output.unlink()
            code = run(scenario.do, spies.killed(number))
            assert code == -signal.SIGKILL, (name, identity, code, output.read_text()[-3000:])
            assert run(again) == 0, (name, identity, output.read_text()[-3000:])
            found = read_payload(here)
            differing = {n for n in {*found, *expected} if found.get(n) != expected.get(n)}
            told.write(f"{name}\t{' '.join(identity)}\t{' '.join(sorted(differing))}\n")
        told.write(f"{name}\t\t\n")
    (work / "sites").write_text("\n".join(sorted({point.site for point in visited})))


def writers() -> set[str]:
    """The functions of the package that write, by the calls in their code: `module:function`."""
    found = set()
    for top in ("asymreinforce", "cli"):
        for path in (ROOT / top).rglob("*.py"):
            relative = str(path.relative_to(ROOT))
            if relative.startswith("asymreinforce/data/") or relative == SHELL:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    found |= {f"{relative}:{node.name}" for call in _own_calls(node) if call}
    return found


def _own_calls(function: ast.FunctionDef) -> list[bool]:
    """Whether each call in a function, nested functions aside, writes."""
    calls, waiting = [], list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            calls.append(node.func.attr in WRITES)
        waiting += ast.iter_child_nodes(node)
    return calls


@pytest.mark.campaign
@pytest.mark.parametrize("part", PARTS)
def test_killed_at_every_failpoint_of_every_command_it_ends_with_the_same_payload(
    tmp_path: Path, random_policy: Path, part: str
) -> None:
    code = kills.run(visit, tmp_path, random_policy, part, patience_s=1500)
    told = [line.split("\t") for line in (tmp_path / "told").read_text().splitlines()]
    assert [line for line in told if line[2]] == []
    assert code == 0
    assert [line[0] for line in told if not line[1]] == list(PARTS[part])
    print(f"{sum(bool(line[1]) for line in told)} failpoints visited")
    sites = set((tmp_path / "sites").read_text().splitlines())
    wanted = {w for w in writers() if w.startswith(OF_STAGES) == (part == "stages")}
    assert wanted - sites == set()  # a write of which no scenario passes the failpoints
