"""Graders: named functions that judge one completion, run in processes that can be killed.

A grader is called as `grade(metadata, gold_answer, text)`, where `metadata` is the question's JSON
or None. A grader returns a `Verdict`, a score, or None for no answer. A grader may hang, raise or
use up memory: `grading/pool/pool.py` bounds the damage. Texts are untrusted and never evaluated. A
user's grader is named `module:function`; the module is on the Python path or in the directory in
which the command starts.
"""

import difflib
import functools
import importlib
import json
from collections.abc import Callable
from importlib import metadata as distributions
from typing import Any, NamedTuple

from asymreinforce import plugins
from asymreinforce.data.gold_answers import accepted_answers
from asymreinforce.errors import ConfigError
from asymreinforce.grading import extraction
from asymreinforce.grading.choice import (
    choice,
    is_number_of_a_choice,
    letter_of,
    numbered_choice,
)
from asymreinforce.grading.extraction import Reasoning, spoken_text
from asymreinforce.grading.inert import may_be_scored
from asymreinforce.grading.math_answers import gsm8k, holds_a_number, math
from asymreinforce.grading.verdict import NO_ANSWER, Verdict
from asymreinforce.plugins import is_plugin, load_function

Grade = Callable[..., Any]


class Grader(NamedTuple):
    """A built-in grader; `version` changes whenever the verdicts change."""

    name: str
    version: str
    grade: Grade
    libraries: tuple[tuple[str, str], ...] = ()
    """(distribution, module) that verdicts depend on; imported before the workers are forked."""
    warm_up: tuple[tuple[str, str], ...] = ()
    """(gold answer, text) graded before the fork, so that workers inherit the parser's tables."""
    can_use: Callable[[str], bool] = lambda gold: bool(gold.strip())
    """Tells whether any completion can be right by a gold answer."""
    needs: str = "a text (task.columns.answer, or source.columns.gold_answer, names its column)"
    """The form that the gold answer must have, and the setting for other forms."""


class GraderId(NamedTuple):
    """The name and version under which verdicts are recorded."""

    name: str
    version: str


def final_answer(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare the first line after the last `Answer:` with the gold answer."""
    rest = extraction.after_last_answer(text)
    if rest is None:
        return NO_ANSWER
    answer = rest.splitlines()[0].strip()
    return Verdict(float(answer == gold_answer.strip()), answer, "ok")


def exact(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Compare the whole completion with the gold answer, without surrounding space."""
    answer = text.strip()
    return Verdict(float(answer == gold_answer.strip()), answer, "ok") if answer else NO_ANSWER


def reasoning_gym(metadata: str | None, gold_answer: str, text: str) -> Verdict:
    """Call the `score_answer` of a reasoning-gym family; metadata has family, params and entry.

    Raises `ValueError` if there is no metadata.
    """
    if metadata is None:
        raise ValueError("the prompt has no metadata with its family and entry")
    task = json.loads(metadata)
    family, entry = str(task["family"]), task["entry"]
    answer = extraction.last_tag_or_answer(text)
    if answer is None:
        return NO_ANSWER
    source = str((entry.get("metadata") or {}).get("source_dataset", family))
    # A composite task passes the answer on to another family, whose rule counts as well.
    shown = may_be_scored(family, answer) and may_be_scored(source, answer)
    dataset = _make_dataset(family, json.dumps(task.get("params") or {}, sort_keys=True))
    return Verdict(float(dataset.score_answer(answer if shown else None, entry)), answer, "ok")


def of_spoken(compare: Grade) -> Grade:
    """Return a grader that compares the text after the reasoning with each accepted answer."""

    def grade(
        metadata: str | None, gold_answer: str, text: str, reasoning: Reasoning = "marked"
    ) -> Verdict:
        said = spoken_text(text, reasoning)
        if said is None:
            return NO_ANSWER
        verdicts = (
            compare(metadata, gold, said) for gold in accepted_answers(metadata, gold_answer)
        )
        best: Verdict = next(verdicts)
        # Further golds are compared only if the first does not match.
        for verdict in verdicts if best.score != 1.0 else ():
            best = max(best, verdict, key=lambda verdict: verdict.score or 0.0)
        return best

    return grade


GRADERS = {
    grader.name: grader._replace(grade=of_spoken(grader.grade))
    for grader in (
        Grader(
            "final_answer",
            "2",
            final_answer,
            can_use=lambda gold: len(gold.strip().splitlines()) == 1,
            needs="one line; task.grader=exact compares several",
        ),
        Grader("exact", "2", exact),
        Grader(
            "multiple_choice",
            "3",
            choice,
            can_use=lambda gold: letter_of(gold) is not None,
            needs="a letter A to J; for the numbers of choices set "
            "task.grader=multiple_choice_from_0 if 0 is A, multiple_choice_from_1 if 1 is A",
        ),
        *(
            Grader(
                f"multiple_choice_from_{first}",
                "3",
                functools.partial(numbered_choice, first),
                can_use=functools.partial(is_number_of_a_choice, first),
                needs=f"a number {first} to {first + 9}; task.grader=multiple_choice reads letters",
            )
            for first in (0, 1)
        ),
        Grader(
            "gsm8k",
            "3",
            gsm8k,
            can_use=holds_a_number,
            needs="a number; task.grader=math or exact compares other answers",
        ),
        Grader(
            "reasoning_gym",
            "2",
            reasoning_gym,
            (("reasoning-gym", "reasoning_gym"),),
            can_use=lambda gold: True,  # the family scores by its own entry
        ),
        Grader(
            "math",
            "4",
            math,
            (
                ("math-verify", "math_verify"),
                ("latex2sympy2_extended", "latex2sympy2_extended"),
                ("sympy", "sympy"),
                ("mpmath", "mpmath"),
                # Its version changes verdicts, percentages among them.
                ("antlr4-python3-runtime", "antlr4"),
            ),
            warm_up=(
                (r"\frac{\sqrt{3}}{2}x^2", r"\boxed{x^2\cos\frac{\pi}{6}}"),
                (r"[1,2)\cup(3,\infty)", r"\boxed{(3,\infty)\cup[1,2]}"),
                ("y=2x+1", r"\boxed{y-1=2x}"),
            ),
        ),
    )
}


def identify(name: str, *, setting: str = "task.grader") -> GraderId:
    """Return a grader's name and version without importing the grader's libraries.

    The version of a user's grader is `plugins.plugin_identity`. Raises `ConfigError`, which begins
    with `setting`, if there is no such grader.
    """
    if is_plugin(name):
        return GraderId(name, plugins.plugin_identity(name))
    grader = _built_in(name, setting=setting)
    # Another version of a library may give other verdicts.
    libraries = (f"{dist}-{distributions.version(dist)}" for dist, _ in grader.libraries)
    return GraderId(name, "+".join([grader.version, *libraries]))


def load_grader(name: str, *, reasoning: Reasoning = "marked") -> Grade:
    """Import a grader and its libraries, in the process that calls it or forks its callers.

    A user's grader is given whole texts, whatever `reasoning` says.
    """
    if not is_plugin(name):
        grader = _built_in(name)
        for _, module in grader.libraries:
            importlib.import_module(module)
        for gold_answer, text in grader.warm_up:
            grader.grade(None, gold_answer, text)
        return functools.partial(grader.grade, reasoning=reasoning)
    return load_function(name)


def require_known(name: str) -> None:
    """Raise `ConfigError` if no built-in grader has this name; a user's grader is not checked."""
    if not is_plugin(name):
        _built_in(name)


def _built_in(name: str, *, setting: str = "task.grader") -> Grader:
    if name not in GRADERS:
        nearest = difflib.get_close_matches(name, GRADERS, n=1)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(
            f"{setting}={name}: no such grader; there are {', '.join(GRADERS)}, "
            f"and your own as module:function{meant}"
        )
    return GRADERS[name]


@functools.lru_cache(maxsize=16)
def _make_dataset(family: str, params: str) -> Any:
    from reasoning_gym import create_dataset

    return create_dataset(family, **{"seed": 0, **json.loads(params)})
