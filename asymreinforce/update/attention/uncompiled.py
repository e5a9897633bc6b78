"""What compiled layers leave out: a plan differs from row to row, and would be compiled anew."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Result = TypeVar("Result")


def left_uncompiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Keep a function as it is where `torch.compile` compiles what calls it."""
    left_out: Callable[Given, Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return left_out
