r"""Equality of expressions by math-verify, under bounds: the last and slowest comparison.

math-verify parses LaTeX by a grammar and compares by sympy's `simplify`, which may take for ever.
So two expressions are first evaluated at a few points: where they differ they are different, and
most wrong answers end there. The time-outs of math-verify, which are signals, are off: the pool
bounds what is left.
"""

import functools
import itertools
from typing import Any

from asymreinforce.grading.math import numeric

LONGEST, DEEPEST = 500, 50
"""Characters and open braces of an expression that is parsed, which takes some milliseconds a sign;
what is longer or deeper equals its own text alone, or a number that `arithmetic.py` evaluates."""


def equal(gold: str, answer: str) -> bool:
    """Tell whether two canonical texts are the same expression, set, relation or matrix."""
    if any(len(text) > LONGEST or _depth(text) > DEEPEST for text in (gold, answer)):
        return False
    if numeric.differ(gold, answer):
        return False
    golds, answers = _parsed_gold(gold), _parsed(answer)
    if not golds or not answers or differ(golds[0], answers[0]):
        return False
    from math_verify import verify

    return bool(verify(golds, answers, allow_set_relation_comp=True, timeout_seconds=None))


def _depth(text: str) -> int:
    signs = (1 if sign in "{([" else -1 for sign in text if sign in "{}()[]")
    return max(itertools.accumulate(signs), default=0)


def differ(gold: Any, answer: Any) -> bool:
    """Tell whether two expressions certainly differ: they do at a point where both are numbers."""
    from sympy import Expr, Symbol

    if not (isinstance(gold, Expr) and isinstance(answer, Expr)):
        return False
    if isinstance(gold, Symbol) or isinstance(answer, Symbol):
        return False
    for shift in numeric.POINTS[: 1 if not (gold.free_symbols | answer.free_symbols) else None]:
        here, there = (_at(expression, shift) for expression in (gold, answer))
        if here is None or there is None:
            continue
        if abs(here - there) > numeric.TOLERANCE * (1 + min(abs(here), abs(there))):
            return True
    return False


def _at(expression: Any, shift: float) -> complex | None:
    """Evaluate where each variable has a positive value of its own, fixed by its name."""
    values = {
        symbol: shift + 0.37 * (sum(map(ord, str(symbol))) % 17) / 17
        for symbol in expression.free_symbols
    }
    try:
        found = complex(expression.evalf(15, subs=values))
    except (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError):
        return None
    return found if abs(found) < 1e300 else None


@functools.lru_cache(maxsize=64)
def _parsed_gold(text: str) -> Any:
    return _parsed(text)


def _parsed(text: str) -> Any:
    from math_verify import parse

    found = parse(
        f"\\boxed{{{text}}}", [_extraction()], fallback_mode="no_fallback", parsing_timeout=None
    )
    return [_with_imaginary_unit(expression) for expression in found]


def _with_imaginary_unit(expression: Any) -> Any:
    """Read i as the imaginary unit; only squared it could be told from a variable."""
    from sympy import Expr, I

    if not isinstance(expression, Expr):
        return expression
    letters = [symbol for symbol in expression.free_symbols if symbol.name == "i"]
    return expression.xreplace(dict.fromkeys(letters, I))


@functools.lru_cache(1)
def _extraction() -> Any:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig

    # Its own removal of units takes variables for units: it reads a + b + c as a.
    return LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
        )
    )
