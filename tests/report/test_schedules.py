"""How a report speaks of arms whose learning rate or baseline changes."""

from typing import Any

import pytest

from asymreinforce.report.groups import told_apart
from asymreinforce.report.setting import _optimizer_words, _schedule_words

CONTROLLED = {
    "baseline_schedule": "staleness",
    "baseline_measure": "log_mean_weight",
    "baseline_target": 0.1,
    "baseline_gain": 0.02,
}


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, ""),
        ({"baseline_schedule": "constant"}, ""),
        (
            {"baseline_schedule": "linear", "baseline_start": 0.0, "baseline_steps": 40},
            "linear: from 0 to the baseline over 40 steps",
        ),
        (
            CONTROLLED,
            "staleness: a controller starts at the baseline, gain 0.02 on log_mean_weight at 0.1",
        ),
    ],
)
def test_the_setting_says_how_the_baseline_changes(known: dict[str, Any], words: str) -> None:
    assert _schedule_words(known) == words


def test_the_setting_says_how_the_learning_rate_decays() -> None:
    known = {"optim.lr": 1e-4, "optim.final_lr_share": 0.1}
    assert _optimizer_words(known) == "AdamW, learning rate 0.0001"
    cosine = known | {"optim.schedule": "cosine"}
    assert _optimizer_words(cosine) == "AdamW, learning rate 0.0001, cosine decay to 0.1 of it"


def test_a_schedule_is_named_beside_the_settings_that_imply_it() -> None:
    constant = (("baseline_schedule", "constant"),)
    controlled = (("baseline_gain", "0.1"), ("baseline_schedule", "staleness"))
    among = [constant, controlled]
    assert told_apart(constant, among) == ["baseline_schedule=constant"]
    assert "baseline_schedule=staleness" in told_apart(controlled, among)
