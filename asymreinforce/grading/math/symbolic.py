r"""Compare expressions by math-verify, if the other comparisons cannot read them."""

import functools
import itertools
from typing import Any

LONGEST, DEEPEST = 200, 50
"""Characters and open brackets of the largest expression that is parsed: parsing takes some
milliseconds a character. A larger expression never equals another by math-verify."""


def equal_by_math_verify(gold: str, answer: str) -> bool:
    """Tell whether two canonical texts are the same expression, set, relation or matrix."""
    if any(len(text) > LONGEST or _bracket_depth(text) > DEEPEST for text in (gold, answer)):
        return False
    from math_verify import verify

    golds, answers = _parsed_gold(gold), _parse_latex(answer)
    # Its time-outs, which are signals, are off: the pool bounds the time of sympy's `simplify`.
    options: dict[str, Any] = {"allow_set_relation_comp": True, "timeout_seconds": None}
    return bool(golds and answers and verify(golds, answers, **options))


def _bracket_depth(text: str) -> int:
    signs = (1 if sign in "{([" else -1 for sign in text if sign in "{}()[]")
    return max(itertools.accumulate(signs), default=0)


def _parse_latex(text: str) -> Any:
    from math_verify import parse

    options: dict[str, Any] = {"fallback_mode": "no_fallback", "parsing_timeout": None}
    expressions = parse(f"\\boxed{{{text}}}", [_extraction_config()], **options)
    return [_with_imaginary_unit(expression) for expression in expressions]


_parsed_gold = functools.lru_cache(maxsize=64)(_parse_latex)


def _with_imaginary_unit(expression: Any) -> Any:
    """Read the letter i as the imaginary unit: math-verify reads it as a variable."""
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
