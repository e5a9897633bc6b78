"""One tiny arm, trained by a function that a forked child can run."""

from pathlib import Path
from typing import Any

import torch

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.model.checkpoint import load_model
from asymreinforce.stages.train import Training, Validate, arm_store, train
from tests import made
from tests.update import naive

PROMPTS, SAMPLES = 24, 4


def scored(parent: Path, **settings: Any) -> ScoredRollouts:
    """Random rollouts and verdicts: 24 prompts of 4 samples make 6 steps of 16 trajectories."""
    found = made.scored_set(parent, **{"prompts": PROMPTS, "samples": SAMPLES, **settings})
    return ScoredRollouts(*found, samples=SAMPLES)


def run_arm(
    config: ExperimentConfig,
    policy: Path,
    rollouts: ScoredRollouts,
    validate: Validate | None = None,
) -> Store:
    """Train the arm that the settings name."""
    store = arm_store(config, checkpoint=policy, scored=rollouts, parent=config.directory / "train")
    train(Training(config, store, validate), checkpoint=policy, scored=rollouts)
    return store


def made_arm(runs: Path, inputs: Path, policy: Path, overrides: dict[str, Any]) -> None:
    """The same from paths alone, with a validation of its own: what a child is given."""
    rollouts, verdicts = (
        Store.open(next((inputs / n).iterdir())) for n in ("rollouts", "verdicts")
    )
    config = made.config(runs, policy=policy, **overrides)
    run_arm(config, policy, ScoredRollouts(rollouts, verdicts, samples=SAMPLES), falling)


def falling(model: Any, step: int) -> float:
    """A validation accuracy that is best at the first checkpoint after the start."""
    return 1.0 / (1 + step)


def metrics(store: Store) -> dict[int, dict[str, Any]]:
    """Every logged row, by step."""
    names = [name for name in store.planned if name.startswith("metrics/")]
    rows = [
        r for n in names for r in contracts.read_table(store.path(n), contracts.METRICS).to_pylist()
    ]
    return {row["step"]: row for row in rows}


def warm(inputs: Path, policy: Path, overrides: dict[str, Any]) -> None:
    """Import what training needs: a step without coefficients has neither forward nor backward."""
    naive.trainer(load_model(policy)).step(naive.sequences(0), torch.zeros(9))


def arm(tmp_path: Path, policy: Path, rollouts: ScoredRollouts, **overrides: Any) -> Store:
    return run_arm(made.config(tmp_path / "runs", policy=policy, **overrides), policy, rollouts)


def shards(store: Store, part: str) -> list[str]:
    return sorted(path.name for path in (store.directory / part).iterdir() if path.is_dir())
