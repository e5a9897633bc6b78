"""The parquet contracts between stages, each a versioned schema (`contracts.py`: their files).

| table       | one row is                                  | key                         |
| ----------- | ------------------------------------------- | --------------------------- |
| PROMPTS     | a question with its gold answer             | prompt_id                   |
| ROLLOUTS    | a completion of the behaviour policy        | (prompt_id, sample)         |
| VERDICTS    | a grader's verdict on a rollout             | (prompt_id, sample)         |
| EVALUATIONS | a graded completion of a checkpoint         | (prompt_id, sample)         |
| METRICS     | a training step, or a fixed slice at a step | (step, staleness)           |
| CURVES      | an evaluated checkpoint of an arm           | (arm, split, step)          |
| SUMMARY     | an arm of a sweep                           | arm                         |
| SUITES      | an arm's checkpoint on one benchmark        | (arm, is_main, suite, step) |

Advantages are never stored: training computes them from (reward, group, baseline). A completion's
token ids and log-probabilities cannot be recomputed and are stored; text is untrusted. A prompt's
metadata is JSON for graders and templates, and holds several accepted answers if there are several
(`data/gold_answers.py`).
"""

from typing import NamedTuple

import pyarrow as pa


class Contract(NamedTuple):
    """A named schema with a version; no two rows of a shard have the same `key` columns."""

    name: str
    version: int
    schema: pa.Schema
    key: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    """Nullable columns that are left out of a file if all their values are null."""

    @property
    def label(self) -> str:
        """The name and version in identities and files, such as `rollouts/1`."""
        return f"{self.name}/{self.version}"


def list_of(item: pa.DataType) -> pa.DataType:
    """Return the type of a list whose items are never null."""
    # Parquet names the items "element": another name would change in a round trip.
    return pa.list_(pa.field("element", item, nullable=False))


def make_schema(required: dict[str, pa.DataType], nullable: dict[str, pa.DataType]) -> pa.Schema:
    """Return a schema of columns without nulls and of columns that may hold nulls."""
    return pa.schema(
        [pa.field(name, type_, nullable=False) for name, type_ in required.items()]
        + [pa.field(name, type_) for name, type_ in nullable.items()]
    )


PROMPTS = Contract(
    "prompts",
    1,
    make_schema(
        {"prompt_id": pa.string(), "question": pa.string(), "gold_answer": pa.string()},
        {"level": pa.string(), "subject": pa.string(), "metadata": pa.string()},
    ),
    ("prompt_id",),
)

ROLLOUTS = Contract(
    "rollouts",
    1,
    make_schema(
        {
            "prompt_id": pa.string(),
            "sample": pa.int32(),
            "policy": pa.string(),
            "prompt_token_ids": list_of(pa.int32()),
            "completion_token_ids": list_of(pa.int32()),
            "finish_reason": pa.string(),
            "text": pa.string(),
        },
        {"behaviour_logps": list_of(pa.float32()), "source_sample": pa.int64()},
    ),
    ("prompt_id", "sample"),
)

VERDICTS = Contract(
    "verdicts",
    1,
    make_schema(
        {
            "prompt_id": pa.string(),
            "sample": pa.int32(),
            "status": pa.string(),
            "truncated": pa.bool_(),
            "grader": pa.string(),
            "grader_version": pa.string(),
        },
        {"score": pa.float64(), "extracted_answer": pa.string()},
    ),
    ("prompt_id", "sample"),
)

EVALUATIONS = Contract(
    "evaluations",
    1,
    make_schema(
        {
            "prompt_id": pa.string(),
            "sample": pa.int32(),
            "tokens": pa.int32(),
            "finish_reason": pa.string(),
            "text": pa.string(),
            "status": pa.string(),
        },
        {"logp": pa.float64(), "score": pa.float64(), "extracted_answer": pa.string()},
    ),
    ("prompt_id", "sample"),
)

AGES = {
    "fresh_sequences": pa.int32(),
    "mean_age": pa.float64(),
    "max_age": pa.int32(),
    "mean_age_rounds": pa.float64(),
    "max_age_rounds": pa.int32(),
}
"""The age of a step's completions; only files of arms with replay have these columns."""

METRICS = Contract(
    "metrics",
    2,
    make_schema(
        {"step": pa.int32(), "sequences": pa.int32(), "skipped_sequences": pa.int32()},
        {"staleness": pa.int32()}
        | {
            name: pa.float64()
            for name in (
                "loss",
                "grad_norm",
                "lr",
                "reward",
                "logp_correct",
                "logp_incorrect",
                "slice_logp_correct",
                "slice_logp_incorrect",
                "token_entropy",
                "kl",
                "ess",
                "log_mean_weight",
                "max_weight_share",
                "validation_accuracy",
                "baseline",
                "momentum_cosine",
            )
        }
        | AGES,
    ),
    ("step", "staleness"),
    optional=frozenset({"baseline", "momentum_cosine", *AGES}),
)

ARM_COLUMNS = {
    "arm": pa.string(),
    "algorithm": pa.string(),
    "baseline": pa.float64(),
    "baseline_reference": pa.string(),
    "seed": pa.int64(),
    "policy_seed": pa.int64(),
    "sampling_seed": pa.int64(),
}

CURVES = Contract(
    "curves",
    1,
    make_schema(
        {
            **ARM_COLUMNS,
            "split": pa.string(),
            "step": pa.int32(),
            "prompts": pa.int32(),
            "k": pa.int32(),
            "accuracy": pa.float64(),
            "accuracy_se": pa.float64(),
            "pass_at_k": pa.float64(),
            "distinct_answers": pa.float64(),
            "length": pa.float64(),
            "truncated": pa.float64(),
            "evaluation": pa.string(),
        },
        {"entropy": pa.float64()},
    ),
    ("arm", "split", "step"),
)

SUMMARY = Contract(
    "summary",
    2,
    make_schema(
        {
            **ARM_COLUMNS,
            "overrides": pa.string(),
            "step": pa.int32(),
            "behaviour_accuracy": pa.float64(),
            "accuracy": pa.float64(),
            "accuracy_se": pa.float64(),
            "difference_se": pa.float64(),
            "peak_accuracy": pa.float64(),
            "peak_step": pa.int32(),
            "k": pa.int32(),
            "pass_at_k": pa.float64(),
            "distinct_answers": pa.float64(),
            "length": pa.float64(),
            "truncated": pa.float64(),
            "verdict": pa.string(),
        },
        {
            "entropy": pa.float64(),
            "logp_correct": pa.float64(),
            "logp_incorrect": pa.float64(),
            "kl": pa.float64(),
            "ess": pa.float64(),
            "collapse_step": pa.int32(),
            "seconds": pa.float64(),
        },
    ),
    ("arm",),
)

SUITES = Contract(
    "suites",
    1,
    make_schema(
        {
            **ARM_COLUMNS,
            "suite": pa.string(),
            "is_main": pa.bool_(),
            "split": pa.string(),
            "step": pa.int32(),
            "is_last": pa.bool_(),
            "prompts": pa.int32(),
            "k": pa.int32(),
            "accuracy": pa.float64(),
            "accuracy_se": pa.float64(),
            "majority": pa.float64(),
            "ties": pa.float64(),
            "pass_at_k": pa.float64(),
            "difference": pa.float64(),
            "difference_se": pa.float64(),
            "length": pa.float64(),
            "truncated": pa.float64(),
            "evaluation": pa.string(),
        },
        {},
    ),
    ("arm", "is_main", "suite", "step"),
)

CONTRACTS = (PROMPTS, ROLLOUTS, VERDICTS, EVALUATIONS, METRICS, CURVES, SUMMARY, SUITES)
