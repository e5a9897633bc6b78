"""Run a sweep with the processor's native instructions and with AVX2, and compare the results.

    .venv/bin/python scripts/instruction_sets.py runs [replicates]     # 4 baselines, 3 replicates

Another instruction set rounds sums differently, and the warm-up of the embedded policy amplifies
the difference to points of accuracy. A claim must not depend on this: the script prints whether the
verdicts of the baselines agree. `ATEN_CPU_CAPABILITY` is a variable of PyTorch.
"""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from asymreinforce.data import contracts

BASELINES = (-0.3, -0.1, 0.0, 0.1)
CAPABILITIES = {"native": {}, "avx2": {"ATEN_CPU_CAPABILITY": "avx2"}}


def main(runs: Path, replicates: int) -> None:
    ends: dict[float, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, variables in CAPABILITIES.items():
        sweep(runs, name, replicates, variables)
        summary = contracts.read_table(runs / name / "summary.parquet", contracts.SUMMARY)
        for arm in sorted(summary.to_pylist(), key=lambda arm: arm["seed"]):
            ends[arm["baseline"]][name].append(f"{arm['verdict']} {100 * arm['accuracy']:.0f}")
            print(f"{name}: replicate {arm['seed']}, mu {100 * arm['behaviour_accuracy']:.1f}%")
    print("\n| baseline | " + " | ".join(CAPABILITIES) + " |\n| --- | --- | --- |")
    for baseline, by_name in sorted(ends.items()):
        cells = [", ".join(by_name[name]) for name in CAPABILITIES]
        print(f"| {baseline:+g} | {' | '.join(cells)} |")


def sweep(runs: Path, name: str, replicates: int, variables: dict[str, str]) -> None:
    asymrl = Path(sys.executable).with_name("asymrl")
    settings = (
        f"name={name}", f"runs_dir={runs}", "sweep.report=false",
        f"baseline={','.join(f'{value:g}' for value in BASELINES)}",
        f"replicate={','.join(map(str, range(replicates)))}",
    )  # fmt: skip
    subprocess.run([asymrl, "sweep", *settings], env={**os.environ, **variables}, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
