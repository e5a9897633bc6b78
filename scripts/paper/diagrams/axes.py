"""The settings on the axes of phase diagrams, and the commands that sweep them."""

from typing import Any

from scripts.paper.diagrams.cells import Axis


def _number_text(value: Any) -> str:
    return f"{value:g}"


def _interval_text(value: Any) -> str:
    return "never" if value is None else f"{value:g}"


REFRESH = Axis(
    name="diagram-refresh",
    key="refresh_every",
    title="Baseline against refresh interval",
    words="refresh interval N, steps",
    symbol="N",
    label=_interval_text,
    command="make refresh",
    along=frozenset({"optim.steps", "rounds"}),
)
LEARNING_RATE = Axis(
    name="diagram-learning-rate",
    key="optim.lr",
    title="Baseline against learning rate",
    words="learning rate",
    symbol="learning rate",
    label=_number_text,
    command="make phase-diagrams",
)
GROUP_SIZE = Axis(
    name="diagram-group-size",
    key="sampling.samples_per_prompt",
    title="Baseline against group size",
    words="samples of a prompt, G",
    symbol="G",
    label=_number_text,
    command="make phase-diagrams",
)
BEHAVIOUR = Axis(
    name="diagram-behaviour",
    key="policy.embedded.warm_up.worked_share",
    title="Baseline against the behaviour policy's accuracy",
    words="worked share of the warm-up",
    symbol="worked share",
    label=_number_text,
    command="make phase-diagrams",
    is_of_behaviour=True,
)

AXES = (REFRESH, LEARNING_RATE, GROUP_SIZE, BEHAVIOUR)
