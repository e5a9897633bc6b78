"""The tiny experiment of the commands' own tests, made once."""

from tests.cli.conftest import made_once

__all__ = ["made_once"]
