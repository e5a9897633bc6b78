"""Give Hydra the defaults of the pydantic models as the base of every configuration.

`conf/config.yaml` names this base `settings`, so that files in `conf/` hold only their changes.
"""

from typing import Any

from hydra.core.config_store import ConfigStore
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from asymreinforce.config import ExperimentConfig
from asymrl import keys

MISSING = "???"
"""OmegaConf's mark of a value that must be given."""

ASKED_FOR = (("policy", "source"), ("task", "kind"))
"""Settings for which a file of `conf/` has `MISSING`; OmegaConf would keep a default instead."""


def store_defaults() -> None:
    """Store the defaults of all settings for Hydra to compose."""
    ConfigStore.instance().store(name="settings", node=stored_defaults())


def stored_defaults() -> dict[str, Any]:
    """Return the defaults of all settings, as the base of a configuration."""
    values = defaults_of(ExperimentConfig)
    for section, name in ASKED_FOR:
        del values[section][name]
    for key in keys.NAMED:  # Hydra can put a list of names in place of null, and of no mapping
        section, _, name = key.rpartition(".")
        values[section][name] = None
    return values


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults of a model by section; a setting without a default is `MISSING`."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            values[name] = defaults_of(field.annotation)
        elif field.is_required():
            values[name] = MISSING
        else:
            values[name] = to_jsonable_python(field.get_default(call_default_factory=True))
    return values
