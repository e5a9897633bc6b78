"""Memory does not grow with the number of rollouts: measured by the script that anyone can run."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench_memory.py"


def test_a_million_rollouts_take_the_memory_of_ten_thousand() -> None:
    command = [sys.executable, str(SCRIPT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1,000,000" in result.stdout
