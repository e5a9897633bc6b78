"""The embedded worlds beside cups, from the questions to the summary, cut down."""

import json
from pathlib import Path

import pytest

from asymreinforce.data import contracts
from tests.fixtures.commands import EMBEDDED, IN_PROCESS, TINY, asymrl, only

SWEEP = ("baseline=-0.1,0", "seed=0", IN_PROCESS)
SMALLER = ("task.train=16", "task.held_out=4", "optim.steps=2", "evaluation.train_prompts=0")
"""Their completions are long, and an untrained policy ends none."""


@pytest.mark.parametrize(("world", "longest"), [("dial", 96), ("count", 8)])
def test_a_world_s_preset_goes_from_questions_to_a_summary(
    world: str, longest: int, tmp_path: Path
) -> None:
    chosen = (f"runs_dir={tmp_path}", f"experiment={world}")
    outcome = asymrl("sweep", *chosen, *TINY, *EMBEDDED, *SMALLER, *SWEEP)
    assert outcome.code == 0, outcome.err
    rows = json.loads((tmp_path / world / "summary.json").read_text())
    assert sorted(row["baseline"] for row in rows) == [-0.1, 0]
    policy, rollouts = only(tmp_path / world / "policy"), only(tmp_path / world / "rollouts")
    assert {key: policy.identity[key] for key in ("world", "version")} == {
        "world": world,
        "version": 1,
    }
    drawn = [
        row
        for name in rollouts.planned
        for row in contracts.read_table(rollouts.path(name), contracts.ROLLOUTS).to_pylist()
    ]
    assert len(drawn) == 16 * 4
    assert all(row["prompt_id"].startswith(f"{world}-") for row in drawn)
    assert (
        max(len(row["completion_token_ids"]) for row in drawn) == longest
    )  # it ends no answer yet
