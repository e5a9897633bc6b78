"""The configuration of an experiment, parsed once into frozen models.

YAML in `conf/` -> Hydra -> plain dict -> `ExperimentConfig`. Unknown keys are errors. Every command
reads the same configuration; a stage gets the parts that it uses.
"""

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from asymreinforce.config.engine import EngineConfig
from asymreinforce.config.experiment import REFERENCES, ExperimentConfig
from asymreinforce.config.policy import EmbeddedConfig, PolicyConfig, WarmUpConfig
from asymreinforce.config.reward import RewardConfig
from asymreinforce.config.rounds import ReplayConfig
from asymreinforce.config.sampling import RolloutConfig, SamplingConfig, SuiteConfig
from asymreinforce.config.sweep import Pins
from asymreinforce.config.task import Split, TaskConfig
from asymreinforce.config.training import (
    RANKS,
    SAME_GRADIENT,
    AlgorithmConfig,
    LoraConfig,
    OptimConfig,
    TrainConfig,
)
from asymreinforce.credentials import require_none, setting_texts
from asymreinforce.errors import ConfigError

__all__ = [
    "AlgorithmConfig",
    "EmbeddedConfig",
    "EngineConfig",
    "ExperimentConfig",
    "LoraConfig",
    "OptimConfig",
    "Pins",
    "PolicyConfig",
    "RANKS",
    "REFERENCES",
    "ReplayConfig",
    "RewardConfig",
    "SAME_GRADIENT",
    "RolloutConfig",
    "SamplingConfig",
    "Split",
    "SuiteConfig",
    "TaskConfig",
    "TrainConfig",
    "WarmUpConfig",
    "describe_errors",
    "parse_config",
]


def parse_config(values: Mapping[str, Any]) -> ExperimentConfig:
    """Parse a resolved configuration; `ConfigError` names each wrong setting."""
    # settings are written to files, so a setting that holds a password or a token is an error
    require_none(values, os.environ)
    _require_storable(values)
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe_errors(error)) from None


def _require_storable(values: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if a setting holds a NUL character or bytes that are not UTF-8."""
    # settings become file names and JSON, which can hold neither
    for key, text in setting_texts(values):
        if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
            raise ConfigError(f"{key}: holds a NUL, or bytes that are no UTF-8")


def describe_errors(error: ValidationError) -> str:
    """Return pydantic's errors as text, one line per setting."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "no such setting; 'asymrl train --cfg job' prints all of them"
        given = "" if isinstance(item["input"], dict) else f" (given: {item['input']!r})"
        lines.append(f"{key}: {message}{given}" if key else message)
    return "the configuration is not valid:\n  " + "\n  ".join(lines)
