"""The base of every configuration that Hydra composes: the defaults of the settings' models.

`conf/config.yaml` names it as `settings`, so that files in `conf/` hold only what they change.
"""

from typing import Any

from hydra.core.config_store import ConfigStore
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from asymreinforce.config import ExperimentConfig
from asymrl import keys

MISSING = "???"
"""What OmegaConf calls a value that must be given."""

ASKED_FOR = (("policy", "source"), ("task", "kind"))
"""Settings that a file of `conf/` asks for by `MISSING`, which takes the place of no default."""


def store_defaults() -> None:
    """Store the defaults of all settings for Hydra to compose."""
    ConfigStore.instance().store(name="settings", node=stored_defaults())


def stored_defaults() -> dict[str, Any]:
    """Return the defaults that configurations are composed on."""
    values = defaults_of(ExperimentConfig)
    for section, name in ASKED_FOR:
        del values[section][name]
    for key in keys.NAMED:  # a list of names takes the place of nothing, and of no mapping
        section, _, name = key.rpartition(".")
        values[section][name] = None
    return values


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's defaults, section by section, `MISSING` for settings without one."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            values[name] = defaults_of(field.annotation)
        elif field.is_required():
            values[name] = MISSING
        else:
            values[name] = to_jsonable_python(field.get_default(call_default_factory=True))
    return values
