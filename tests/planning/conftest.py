"""A finished sweep, made once."""

from tests.experiment.conftest import first_sweep

__all__ = ["first_sweep"]
