"""List the changed gold answers that the grader still calls right, and the rule for each.

    ASYMRL_TEST_DATA=... python scripts/mutate_answers.py              # every gold answer of MATH
    ASYMRL_TEST_DATA=... python scripts/mutate_answers.py --sample 300

Each gold answer is changed by one character: inserted at the ends, before the first digit and at
two places drawn from the answer, deleted, or exchanged. For each accepted change the script names
the rule of docs/reference/graders.md that allows it. The script exits with 1 if no rule allows an
accepted change: a wrong answer is then called right.
"""

import argparse
import collections
import logging
import os
import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from asymreinforce.grading.math import points
from asymreinforce.grading.math.equivalence import equivalent
from asymreinforce.grading.math.notation import canonical

INSERTED = {
    "point": ".", "factorial": "!", "prime": "'", "letter": "x", "digit": "7", "zero": "0",
    "sign": "-", "percent": r"\%", "comma": ",", "opening bracket": "(", "closing bracket": ")",
    "square bracket": "[", "brace": "{", "colon": ":", "degree": r"^\circ", "power": "^",
    "million": r"\text{ million}", "word": r"\text{ not }", "bar": "|", "slash": "/",
    "equals": "=", "root": r"\sqrt", "space": " ",
}  # fmt: skip
SIGN = re.compile(r"\\[A-Za-z]+|.", re.DOTALL)
EXCHANGED = str.maketrans("+-()[]", "-+[]()")
UNSEEN = re.compile(r"[{}⟦⟧]|\\\$|(?:(?<=[(\[,;&\\])|^)=|(?<=end\{|gin\{)[pbB](?=matrix)")
AT_INFINITY = re.compile(r"[(\[](?=[-+]?\\infty)|(?<=\\infty)[)\]]")
UNIT = re.compile(r"(?<=[\d)}\]°])\s*(?:⟦[a-z .'/-]+⟧(?:\^\{?\d\}?)?\s*)+", re.IGNORECASE)
CHOICE = re.compile(r"[\s⟦(]*([A-J])[)⟧:]*(?:[\s⟧].*|)")
AROUND = re.compile(r"\\approx.*|⟦[^⟧]{2,}:⟧|=(?=⟦)|\.$")
"""Text around a value: an approximation, words that lead up to the value, a last stop."""
BETWEEN = re.compile(r",?\s*⟦?\s*\band\b\s*⟦?,?|,,", re.IGNORECASE)
BOTH = re.compile(r"-?\s*\\pm\s*-?")
ZERO = re.compile(r"[-x07]?(\\begin\{pmatrix\}[\\0& ]+\\end\{pmatrix\})[x07]?")
DECIMAL = re.compile(r"-?\d*\.\d{6,}")
WORD = re.compile(r"[A-Za-z]{3,}")
PARTS = re.compile(
    r"(\\cup|\\pm|\\\\|\\begin\{\w+\}|\\end\{\w+\}|\\leq|\\geq|\\in(?!f)|\\[{}]|[&,;<>])"
)


def mutants(gold: str, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of each change by one character."""
    signs = list(SIGN.finditer(gold))
    first = re.search(r"[\d.]", gold)
    starts = [sign.start() for sign in signs]
    for kind, inserted in INSERTED.items():
        places = {0, len(gold), *draw.sample(starts, min(2, len(starts)))}
        for place in sorted(places | ({first.start()} if first else set())):
            yield kind, gold[:place] + inserted + gold[place:]
    for sign in draw.sample(signs, min(5, len(signs))):
        yield "deletion", gold[: sign.start()] + gold[sign.end() :]
    for sign in signs:
        before, old, after = gold[: sign.start()], sign[0], gold[sign.end() :]
        if old.isascii() and old.isdigit():
            yield "digit changed", before + str((int(old) + draw.randint(1, 9)) % 10) + after
        elif old.isalpha():
            yield "letter changed", before + ("q" if old != "q" else "r") + after
            yield "case changed", before + old.swapcase() + after
        elif old in "+-()[]":
            yield "sign or bracket changed", before + old.translate(EXCHANGED) + after


def rule(gold: str, mutant: str) -> str | None:
    """Return the name of the rule that allows two texts to be equal; None if there is none."""
    texts = [canonical(text).replace("⟦ million⟧", r"\cdot 10^6") for text in (gold, mutant)]
    texts = [BETWEEN.sub(",", BOTH.sub(r"\\pm", AROUND.sub("", text))) for text in texts]
    if _equal(_seen(text) for text in texts):
        return "notation"
    if _equal(re.sub("[%°]", "", _seen(text)) for text in texts):
        return "percent or degree sign"
    if WORD.search(texts[0]) and _equal(_seen(text).casefold() for text in texts):
        return "case of a word"
    choices = [CHOICE.fullmatch(text) for text in texts]
    if choices[0] and choices[1] and choices[0][1] == choices[1][1]:
        return "letter of a choice"
    bare = [re.sub("[%°]", "", UNIT.sub("", text)) for text in texts]
    if _equal(map(_seen, bare)):
        return "unit"
    if all(map(DECIMAL.fullmatch, bare)) and abs(float(bare[0]) - float(bare[1])) < 1e-6:
        return "rounding"
    if points.same_at_points(*bare) or (ZERO.fullmatch(bare[0]) and ZERO.fullmatch(bare[1])):
        return "value"
    parts = [[part for part in PARTS.split(text) if part.strip()] for text in bare]
    if len(parts[0]) == len(parts[1]) and all(map(_same_part, *parts)):
        return "value"
    return None


def _equal(texts: Iterable[str]) -> bool:
    return len(set(texts)) == 1


def _seen(text: str) -> str:
    together = "".join(re.sub(r"(?<=\d)[, ](?=\d{3}(?!\d))", "", text).split())
    return AT_INFINITY.sub("|", UNSEEN.sub("", together))


def _same_part(gold: str, mutant: str) -> bool:
    """Compare the parts between structural signs, by value if the texts differ."""
    one, other = gold.strip(), mutant.strip()
    if _seen(one) == _seen(other):
        return True
    if not _balanced(one) and one and other:
        if one[0] == other[0] and one[0] in "([":
            return _same_part(one[1:], other[1:])
        if one[-1] == other[-1] and one[-1] in ")]":
            return _same_part(one[:-1], other[:-1])
    (name, _, value), (other_name, _, other_value) = one.rpartition("="), other.rpartition("=")
    if value != one or other_value != other:
        names = [_seen(each).strip("=:") for each in (name, other_name)]
        named = names[0] in ("", names[1]) or points.same_at_points(name, other_name)
        return bool(named) and _same_part(value, other_value)
    return bool(points.same_at_points(one, other))


def _balanced(text: str) -> bool:
    return text.count("(") + text.count("[") == text.count(")") + text.count("]")


def accepted(golds: list[str]) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield kind, gold answer, change, and rule: '' if not accepted, None if no rule allows it."""
    for gold in golds:
        for kind, mutant in dict.fromkeys(mutants(gold, random.Random(gold))):
            if mutant != gold:
                yield kind, gold, mutant, rule(gold, mutant) if equivalent(gold, mutant) else ""


def golds_of_math(data: Path) -> list[str]:
    """Return the gold answers of MATH, each once."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(data / f"math_{part}.parquet") for part in ("train", "test")]
    return sorted({gold for table in tables for gold in table.column("answer").to_pylist() if gold})


def main() -> int:
    """Print a row for each kind of change, and each change that no rule explains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="gold answers to draw; all of them otherwise")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    golds = golds_of_math(Path(os.environ["ASYMRL_TEST_DATA"]))
    golds = random.Random(0).sample(golds, options.sample) if options.sample else golds
    tried = collections.Counter[str]()
    rules: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong = []
    for kind, gold, mutant, by in accepted(golds):
        tried[kind] += 1
        if by is None:
            wrong.append((gold, mutant))
        elif by:
            rules[kind][by] += 1
    print(f"{len(golds)} gold answers, {tried.total()} changes")
    print("| change | tried | accepted | by rule |\n| --- | --- | --- | --- |")
    for kind, count in tried.items():
        reasons = ", ".join(f"{by} {times}" for by, times in rules[kind].most_common())
        print(f"| {kind} | {count:,} | {rules[kind].total():,} | {reasons} |")
    for gold, mutant in wrong:
        print(f"WRONG: {gold!r} accepts {mutant!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
