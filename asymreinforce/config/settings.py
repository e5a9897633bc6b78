"""The base class of all parts of the configuration, and the types that several parts share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from asymreinforce.plugins import is_plugin

LARGEST_INTEGER = 2**63 - 1
"""The limit of file columns and of the seeds of random generators."""
LARGEST_FLOAT, SMALLEST_FLOAT = 3.4e38, 1.2e-38
"""Limits of float32, in which models compute: beyond them a setting would be infinity or 0."""

Beta = Annotated[float, Field(ge=0, lt=1)]
"""Decay of one of Adam's moments."""
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A frozen part of the configuration in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def a_truth_value_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """A number may not be given as true or false."""
        # YAML reads `yes` and `on` as true, which Python would count as 1
        taken = _field_types(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and taken & {int, float} and not taken & {bool, Any}:
            raise ValueError("must be a number, not a truth value")
        return value

    @field_validator("*")
    @classmethod
    def numbers_fit_the_machine(cls, value: Any) -> Any:
        """Integers fit 64 bits, and floats neither overflow nor underflow in float32."""
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int) and abs(number) > LARGEST_INTEGER:
                raise ValueError(f"must lie between -2**63 and 2**63 (it is {number:.2e})")
            if isinstance(number, float) and number and not _fits_float32(abs(number)):
                raise ValueError(
                    f"must lie between {SMALLEST_FLOAT:g} and {LARGEST_FLOAT:g} in size, or be 0"
                )
        return value


def _field_types(annotation: Any) -> set[Any]:
    """Return the types that a field accepts, without types inside lists and mappings."""
    if get_origin(annotation) is Annotated:
        return _field_types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_field_types, get_args(annotation)))
    return {annotation}


def flatten_settings(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings: `{"optim": {"lr": 1}}` -> `{"optim.lr": 1}`."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= flatten_settings(value, prefix=f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def _fits_float32(size: float) -> bool:
    return SMALLEST_FLOAT <= size <= LARGEST_FLOAT


def expand_home(path: str) -> str:
    """Return a path with a leading `~` or `~user` replaced by the home directory.

    Raises `ValueError` if there is no such user.
    """
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError as error:
        # kept as it is, the path would become a directory named `~user`
        raise ValueError(f"{error}; write the path from / on, or ./{path}") from None


def listed(value: Any) -> Any:
    """Return a single value as a list of one: `reward.graders=math` means `[math]`."""
    return (value,) if isinstance(value, str | int | float) else value


def name_or_function(names: Sequence[str]) -> AfterValidator:
    """Return the check that a setting is one of `names`, or a user's module:function."""

    def checked(value: str) -> str:
        if value in names or is_plugin(value):
            return value
        raise ValueError(
            f"{value} is none of {', '.join(names)} and not of the form module:function"
        )

    return AfterValidator(checked)


HomePath = Annotated[Path, AfterValidator(lambda path: Path(expand_home(str(path))))]
HomeText = Annotated[str, AfterValidator(expand_home)]
"""A path, or a name such as `embedded` or a hub id."""
