"""Decide which answers are safe to show to a library that evaluates them.

Several reasoning-gym families score an answer by `eval(answer)` or by sympy's `parse_expr`, which
calls `eval`: a completion could run code. An answer that could run code is scored as no answer.
"""

import ast
import re
from collections.abc import Callable

PLAIN = re.compile(r"[\w\s.,#-]*")
ARITHMETIC = re.compile(r"[0-9\s.+\-*/()]*")
ALGEBRA = re.compile(r"[A-Za-z0-9\s.+\-*/()]*")
ATTRIBUTE = re.compile(r"\.\s*[A-Za-z]")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
FUNCTIONS = {"exp", "log", "ln", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "pi", "Abs"}
FUNCTIONS |= {"asin", "acos", "atan", "sinh", "cosh", "tanh"}


def is_literal(answer: str) -> bool:
    """Tell whether an answer is a Python literal, or words and numbers that call nothing."""
    if PLAIN.fullmatch(answer):
        return True
    try:
        ast.literal_eval(answer)
    except (ValueError, SyntaxError, TypeError):
        return False
    return True


def is_arithmetic(answer: str) -> bool:
    """Tell whether an answer has only digits, points, operators and parentheses."""
    return ARITHMETIC.fullmatch(answer) is not None


def is_algebra(answer: str) -> bool:
    """Tell whether the only names in an answer are single letters and elementary functions."""
    return (
        ALGEBRA.fullmatch(answer) is not None
        and not ATTRIBUTE.search(answer)  # `x.evalf` is a call without a forbidden sign
        and all(len(name) == 1 or name in FUNCTIONS for name in NAME.findall(answer))
    )


EVALUATED_FAMILIES: dict[str, Callable[[str], bool]] = {
    "string_insertion": is_literal,
    "spiral_matrix": is_literal,
    "binary_matrix": is_literal,
    "n_queens": is_literal,
    "puzzle24": is_arithmetic,
    "countdown": is_arithmetic,
    "simple_integration": is_algebra,
    "intermediate_integration": is_algebra,
    "polynomial_multiplication": is_algebra,
}


def may_be_scored(family: str, answer: str) -> bool:
    """Tell whether the `score_answer` of a family may see this answer."""
    is_harmless = EVALUATED_FAMILIES.get(family)
    return is_harmless is None or is_harmless(answer)
