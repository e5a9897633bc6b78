"""What every part of the configuration is built on."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen part of the configuration in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
