"""Memory does not grow with the number of rollouts: measured by the script that anyone can run."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench_memory.py"


def test_two_hundred_thousand_rollouts_take_the_memory_of_ten_thousand() -> None:
    """A million is for `make bench`, at most 1.3 times; here 60 bytes a row more would be seen."""
    command = [sys.executable, str(SCRIPT), "--rows", "10000", "200000", "--allowed", "1.2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "200,000" in result.stdout
