"""Measure the worth of each rule of the grader `math`: count the verdicts that it alone gets right.

    ASYMRL_TEST_DATA=... python scripts/ablate_graders.py
    python scripts/ablate_graders.py                           # only the labelled pairs

Each rule of `equivalence.RULES` is left out in turn, and also each part of a module that is no
separate rule. A set is a list of labelled pairs. The table counts the pairs whose verdict becomes
wrong.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from asymreinforce.grading import math_answers
from asymreinforce.grading.math import equivalence, numerals, points, wording
from tests.fixtures.answer_pairs import DIFFERENT, SAME

Pair = tuple[str, str, bool]


def pairs_of_tests() -> list[Pair]:
    """Return the pairs that tests/fixtures/answer_pairs.py labels."""
    same = [(*pair, True) for kind in SAME.values() for pair in kind]
    return same + [(*pair, False) for kind in DIFFERENT.values() for pair in kind]


def cases(path: Path, text: str, kinds: tuple[str, ...]) -> list[Pair]:
    """Return the labelled rows of a file whose answers `math` grades."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (row["gold"], row[text], row["expected"])
        for row in rows
        if row.get("kind", row.get("grader")) in kinds and "policy" not in (row.get("note") or "")
    ]


@contextmanager
def without(rule: str) -> Iterator[None]:
    """Switch off a rule or a part, by its name."""
    parts: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "math-verify": (points, "equal_by_math_verify", lambda gold, answer: False),
        "units": (wording, "without_unit", lambda text, bare_letters=False: (text, None)),
        "meanings": (wording, "plain_meaning", lambda text: text),
        "rounding": (numerals, "_is_rounding", lambda *_: False),
        "ratio of equations": (points, "ratio_sign", lambda *_: 0),
    }
    if rule in parts:
        with mock.patch.object(*parts[rule]):
            yield
    else:
        kept = tuple(each for each in equivalence.RULES if name_of(each) != rule)
        with mock.patch.object(equivalence, "RULES", kept):
            yield


def name_of(rule: Callable[..., Any]) -> str:
    """Return the name of a rule in the table."""
    return rule.__name__.removeprefix("compare_")


def verdicts(pairs: list[Pair], *, is_text: bool) -> list[bool]:
    """Judge each pair: two bare answers by `equivalent`, or a whole text by the grader."""
    math_answers.is_right_remembered.cache_clear()
    if is_text:
        return [math_answers.math(None, gold, text).score == 1.0 for gold, text, _ in pairs]
    return [equivalence.equivalent(gold, answer) for gold, answer, _ in pairs]


def main() -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    sets = {"pairs of tests": (pairs_of_tests(), False)}
    if data := os.environ.get("ASYMRL_TEST_DATA"):
        names = ("math", "math-multilingual")
        sets["cases"] = (cases(Path(data) / "grader_cases.jsonl", "prediction", names), True)
        sets["regressions"] = (cases(Path(data) / "grader_regressions.jsonl", "text", names), True)
    labels = {name: [pair[2] for pair in pairs] for name, (pairs, _) in sets.items()}
    whole = {name: verdicts(pairs, is_text=text) for name, (pairs, text) in sets.items()}
    print("| switched off | " + " | ".join(sets) + " | CPU seconds |")
    print("| --- |" + " --- |" * (len(sets) + 1))
    rules = [name_of(rule) for rule in equivalence.RULES]
    others = ["math-verify", "units", "meanings", "rounding", "ratio of equations"]
    for rule in ["nothing", *rules, *others]:
        started, cells = time.process_time(), []
        with without(rule):
            for name, (pairs, text) in sets.items():
                now = verdicts(pairs, is_text=text)
                compared = zip(now, whole[name], labels[name], strict=True)
                lost = sum(verdict != label == before for verdict, before, label in compared)
                cells.append(f"{lost} of {len(pairs)}")
        print(f"| {rule} | {' | '.join(cells)} | {time.process_time() - started:.1f} |")


if __name__ == "__main__":
    main()
