"""Keep attention out of compiled layers: plans differ by row, and each would be compiled again."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Result = TypeVar("Result")


def left_uncompiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a function that is not compiled, even if `torch.compile` compiles its caller."""
    left_out: Callable[Given, Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return left_out
