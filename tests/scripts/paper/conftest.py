"""A finished sweep, made once."""

from tests.experiment.conftest import first_sweep, swept

__all__ = ["first_sweep", "swept"]
