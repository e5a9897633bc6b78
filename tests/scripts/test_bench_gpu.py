"""The GPU benchmark runs on a bare machine, and says what it did not measure."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_toy_run_needs_only_torch_and_transformers(tmp_path: Path) -> None:
    bare, script = Path(__file__).parent / "bare.py", ROOT / "scripts" / "bench_gpu.py"
    command = [sys.executable, str(bare), str(script), str(tmp_path / "figures.json"), "--toy"]

    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    by_way = {row["way"]: row for row in figures["log_normal"]}
    assert by_way["TRL RLOO"]["problem"] == "trl 1.16.0 is not installed"
    assert all(by_way[way]["tokens_per_s"] > 0 for way in ("asymreinforce", "length-sorted"))
    assert figures["packed"][0]["mfu"] is None, "no data sheet names the peak of a CPU"
    assert "not measured" in result.stdout
