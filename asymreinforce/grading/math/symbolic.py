r"""Equality by math-verify, under bounds: what the other comparisons do not read.

Sums, integrals, limits, functions of sets and of matrices get here. math-verify parses LaTeX by a
grammar and compares by sympy's `simplify`, which may take for ever. Its time-outs, which are
signals, are off: the pool bounds what is left.
"""

import functools
import itertools
from typing import Any

LONGEST, DEEPEST = 200, 50
"""Characters and open braces of an expression that is parsed, which takes some milliseconds a sign;
what is longer or deeper equals its own text alone, or a number that `points.py` evaluates."""


def equal_by_math_verify(gold: str, answer: str) -> bool:
    """Tell whether two canonical texts are the same expression, set, relation or matrix."""
    if any(len(text) > LONGEST or _bracket_depth(text) > DEEPEST for text in (gold, answer)):
        return False
    golds, answers = _parsed_gold(gold), _parse_latex(answer)
    if not golds or not answers:
        return False
    from math_verify import verify

    return bool(verify(golds, answers, allow_set_relation_comp=True, timeout_seconds=None))


def _bracket_depth(text: str) -> int:
    signs = (1 if sign in "{([" else -1 for sign in text if sign in "{}()[]")
    return max(itertools.accumulate(signs), default=0)


@functools.lru_cache(maxsize=64)
def _parsed_gold(text: str) -> Any:
    return _parse_latex(text)


def _parse_latex(text: str) -> Any:
    from math_verify import parse

    expressions = parse(
        f"\\boxed{{{text}}}",
        [_extraction_config()],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return [_with_imaginary_unit(expression) for expression in expressions]


def _with_imaginary_unit(expression: Any) -> Any:
    """Read i as the imaginary unit; only squared it could be told from a variable."""
    from sympy import Expr, I

    if not isinstance(expression, Expr):
        return expression
    letters = [symbol for symbol in expression.free_symbols if symbol.name == "i"]
    return expression.xreplace(dict.fromkeys(letters, I))


@functools.lru_cache(1)
def _extraction_config() -> Any:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig

    # Its own removal of units takes variables for units: it reads a + b + c as a.
    return LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
        )
    )
