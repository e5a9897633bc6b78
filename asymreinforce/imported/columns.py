"""Map the columns of a foreign file to fields, by the names of each format or of the user.

For each row, the names of a field are tried in order, and the first column with a value is taken.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from asymreinforce.config.source import SourceColumns, SourceConfig
from asymreinforce.errors import InputError

Names = Mapping[str, tuple[str, ...]]

GENERIC: Names = {
    "prompt_id": ("prompt_id", "problem_id", "question_id"),
    "question": ("question", "problem", "prompt"),
    "prompt_token_ids": ("prompt_token_ids", "prompt_ids"),
    "gold_answer": ("gold_answer", "gold", "ground_truth", "answer"),
    "policy": ("policy", "model"),
    "sample": ("sample", "sample_index", "sample_id"),
    "completion": ("completion", "response", "output", "text", "completions", "responses"),
    "completion_token_ids": ("completion_token_ids", "completion_ids", "response_ids"),
    "logps": ("behaviour_logps", "logps", "logprobs", "completion_logprobs"),
    "reward": ("reward", "score", "is_correct", "correct"),
    "finish_reason": ("finish_reason", "truncated", "is_truncated"),
    "level": ("level", "difficulty"),
    "subject": ("subject", "type"),
    "metadata": ("metadata",),
}
"""For files of no particular program, and for rollouts in this project's own format."""

TRL: Names = {
    **GENERIC,
    "question": ("prompt",),
    "completion": ("completion", "completions"),
    "gold_answer": ("gold_answer", "ground_truth", "answer", "solution"),
    "logps": ("logprobs", "sampling_logprobs", "old_per_token_logps"),
    "reward": ("reward", "rewards", "accuracy_reward"),
    "policy": ("policy", "model", "step"),
}
"""For TRL's data sets of prompt and completion, and GRPOTrainer's logs (log_completions)."""

VERL: Names = {
    **GENERIC,
    "question": ("input", "prompt"),
    "completion": ("output", "responses", "response"),
    "gold_answer": ("gts", "reward_model.ground_truth"),
    "reward": ("score",),
    "policy": ("policy", "step"),
    "subject": ("data_source",),
    "metadata": ("extra_info",),
}
"""For verl's rollout_data_dir (one file per step), and the parquet of its main_generation."""

LM_EVAL: Names = {
    "prompt_id": ("doc_hash", "doc_id"),
    "question": (
        "doc.question",
        "doc.problem",
        "arguments.gen_args_0.arg_0",
        "arguments.0.0",
    ),
    "gold_answer": ("target",),
    "completion": ("resps",),
    "reward": ("exact_match", "acc", "math_verify"),
    "level": ("doc.level",),
    "subject": ("doc.subject", "doc.type"),
}
"""For samples_*.jsonl of lm-evaluation-harness (--log_samples)."""

TRL_LOG, TRL_MARKS = frozenset({"prompt", "completion"}), frozenset({"advantage", "step"})
"""Columns that mark TRL's log of completions: all of `TRL_LOG` and any of `TRL_MARKS`."""

FORMATS: dict[str, Names] = {"trl": TRL, "verl": VERL, "lm_eval": LM_EVAL}
WHOLE_PROMPTS = {
    "trl": frozenset({"prompt"}),
    "verl": frozenset({"input"}),
    "lm_eval": frozenset({"arguments.gen_args_0.arg_0", "arguments.0.0"}),
}
"""Columns that hold the whole prompt that the model saw, not the bare question."""

FIELDS = tuple(SourceColumns.model_fields)


class Columns:
    """Look fields up in records, and count the columns in which fields have values."""

    def __init__(self, source: SourceConfig) -> None:
        names = FORMATS.get(source.format or "", GENERIC)
        self._given = source.columns.named()
        self._names = {
            field: (self._given[field],) if field in self._given else names.get(field, ())
            for field in FIELDS
            if field not in source.ignore
        }
        self._may_be_trl = source.format is None
        self._whole = WHOLE_PROMPTS.get(source.format or "", frozenset())
        self._templated = source.templated
        self.used: Counter[tuple[str, str]] = Counter()
        """(field, column) -> number of rows."""
        self._seen: dict[str, None] = {}

    def find(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields for which a record has a value."""
        fields = {}
        if self._may_be_trl:
            _require_no_trl(values)
        # the names are only shown in error messages, which need no more
        if len(self._seen) < 1_000:
            self._seen |= dict.fromkeys(values)
        for field, names in self._names.items():
            for name in names:
                if (value := look_up(values, name)) is not None:
                    fields[field] = value
                    self.used[field, name] += 1
                    break
        return fields

    def is_whole_prompt(self, values: Mapping[str, Any]) -> bool:
        """Tell whether the record's question is the whole prompt that the model saw."""
        if self._templated is not None:
            return self._templated
        names = self._names.get("question", ())
        name = next((name for name in names if look_up(values, name) is not None), "")
        return name in self._whole

    @property
    def has_seen_rows(self) -> bool:
        """Whether any record was looked up."""
        return bool(self._seen)

    def require(self, where: str) -> None:
        """Raise `InputError` if no row has a column that the user named or that is required."""
        has = ", ".join(self._seen) or "none"
        used = {field for field, _ in self.used}
        for field, name in self._given.items():
            if field not in used:
                raise InputError(f"{where}: no row has the column {name!r} ({field}); it has {has}")
        for needed in (("question", "prompt_token_ids"), ("completion", "completion_token_ids")):
            if not used & set(needed):
                tried = [name for field in needed for name in self._names.get(field, ())]
                raise InputError(
                    f"{where}: no column for the {needed[0]} (tried {', '.join(tried)}); it has "
                    f"{has}; say which it is with source.columns.{needed[0]}=NAME"
                )

    @property
    def line(self) -> str:
        """The column that each field was taken from, in one line."""
        return ", ".join(f"{field}={name}" for field, name in sorted(self.used))


def _require_no_trl(values: Mapping[str, Any]) -> None:
    if values.keys() >= TRL_LOG and values.keys() & TRL_MARKS:
        raise InputError(
            "the rows have columns of TRL's logs of completions "
            f"({', '.join(sorted(values.keys() & (TRL_LOG | TRL_MARKS)))}), whose prompt is the "
            "whole prompt: set source.format=trl, or source.format=jsonl (or parquet) if it is a "
            "bare question"
        )


def look_up(values: Any, name: str) -> Any:
    """Return a value by name or by a dotted path into dictionaries and lists; None if absent."""
    if isinstance(values, Mapping) and name in values:
        return values[name]
    if isinstance(values, list) and name.isdecimal() and int(name) < len(values):
        return values[int(name)]
    head, _, rest = name.partition(".")
    if not rest or not isinstance(values, Mapping | list):
        return None
    return look_up(look_up(values, head), rest)
