"""The GPU checks: on a CPU their toy run on a bare machine, on a device each of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "check_gpu.py"
NEEDS_CUDA = {"varlen attention", "out of memory", "compiled layers", "attention memory"}


def test_the_toy_run_passes_what_a_bare_cpu_can_show_and_names_the_rest(tmp_path: Path) -> None:
    bare = Path(__file__).parents[1] / "fixtures/bare_machine.py"
    command = [sys.executable, str(bare), str(SCRIPT), str(tmp_path / "checks.json"), "--toy"]

    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    rows = {
        row["check"]: row for row in json.loads((tmp_path / "checks.json").read_text())["checks"]
    }
    not_here = {name: row["message"] for name, row in rows.items() if row["verdict"] == "not here"}
    assert {name for name, why in not_here.items() if why == "needs a CUDA device"} == NEEDS_CUDA
    assert "--carried" in not_here.pop("command line")
    assert {name: row["message"] for name, row in rows.items() if row["verdict"] == "ERROR"} == {}
    passed = {name for name, row in rows.items() if row["verdict"] == "pass"}
    assert {"heads", "SDPA attention", "steps", "save, load, go on", "one rank: FSDP2"} <= passed
    assert "| steps | pass |" in result.stdout
    of_others = {f["what"]: f["value"] for f in rows["against others, 1.5B"]["findings"]}
    assert of_others["TRL RLOO"] == "not measured: trl 1.16.0 is not installed"
    assert of_others["plain"] > 0
    assert "MFU" not in {f["what"] for f in rows["0.5B, plain"]["findings"]}, (
        "no CPU's peak is known"
    )


def test_the_check_of_objectives_takes_every_preset() -> None:
    check_gpu = _module()
    (check,) = (check for check in check_gpu.CHECKS if check.name == "every objective")
    row = check_gpu.verdict(check, check_gpu.Place(check_gpu.torch.device("cpu"), True))
    assert (row["verdict"], row["message"]) == ("pass", "")
    presets = {path.stem for path in (ROOT / "conf" / "algorithm").glob("*.yaml")}
    needs_function = {"linear", "ratio"}
    names = {finding["what"].partition(",")[0] for finding in row["findings"]}
    assert names == presets - needs_function


def test_a_check_that_raises_or_breaks_its_bound_stands_alone() -> None:
    check_gpu = _module()
    Check, Finding = check_gpu.Check, sys.modules["gpu.checks"].Finding  # type: ignore[attr-defined]
    place = check_gpu.Place(check_gpu.torch.device("cpu"), True)

    def raises(place: Any) -> Any:
        raise ValueError("so")

    def breaks(place: Any) -> Any:
        yield Finding("off", float("nan"), most=1.0)

    assert check_gpu.verdict(Check("one", raises), place)["verdict"] == "ERROR"
    assert check_gpu.verdict(Check("two", breaks), place)["verdict"] == "FAIL"


@pytest.mark.gpu
@pytest.mark.parametrize("number", range(11))
def test_on_a_device_the_checks_of_correctness_pass(number: int) -> None:
    check_gpu = _module()
    check = check_gpu.CHECKS[number]
    found = check_gpu.verdict(check, check_gpu.Place(check_gpu.torch.device("cuda"), False))
    assert found["verdict"] == "pass", found["message"]


def _module() -> Any:
    sys.path.insert(0, str(ROOT / "scripts"))
    import check_gpu  # type: ignore[import-not-found]

    return check_gpu
