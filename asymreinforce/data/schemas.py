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


TYPES = {
    "text": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "int32[]": list_of(pa.int32()),
    "float32[]": list_of(pa.float32()),
    "float64[]": list_of(pa.float64()),
}
"""The types of columns, by their names in `columns_of`."""


def columns_of(text: str) -> dict[str, pa.DataType]:
    """Return columns and their types in order, from a text such as `step int32, kl float64`."""
    pairs = (column.split() for column in text.split(","))
    return {name: TYPES[type_] for name, type_ in pairs}


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
        columns_of("prompt_id text, question text, gold_answer text"),
        columns_of("level text, subject text, metadata text"),
    ),
    ("prompt_id",),
)

ROLLOUTS = Contract(
    "rollouts",
    1,
    make_schema(
        columns_of(
            "prompt_id text, sample int32, policy text, "
            "prompt_token_ids int32[], completion_token_ids int32[], "
            "finish_reason text, text text"
        ),
        columns_of("behaviour_logps float32[], source_sample int64"),
    ),
    ("prompt_id", "sample"),
)

VERDICTS = Contract(
    "verdicts",
    1,
    make_schema(
        columns_of(
            "prompt_id text, sample int32, status text, truncated bool, "
            "grader text, grader_version text"
        ),
        columns_of("score float64, extracted_answer text"),
    ),
    ("prompt_id", "sample"),
)

EVALUATIONS = Contract(
    "evaluations",
    1,
    make_schema(
        columns_of(
            "prompt_id text, sample int32, tokens int32, finish_reason text, text text, status text"
        ),
        columns_of("logp float64, score float64, extracted_answer text"),
    ),
    ("prompt_id", "sample"),
)

AGES = columns_of(
    "fresh_sequences int32, mean_age float64, max_age int32, "
    "mean_age_rounds float64, max_age_rounds int32"
)
"""The age of a step's completions; only files of arms with replay have these columns."""

METRICS = Contract(
    "metrics",
    2,
    make_schema(
        columns_of("step int32, sequences int32, skipped_sequences int32"),
        columns_of(
            "staleness int32, loss float64, grad_norm float64, lr float64, reward float64, "
            "logp_correct float64, logp_incorrect float64, "
            "slice_logp_correct float64, slice_logp_incorrect float64, token_entropy float64, "
            "kl float64, ess float64, log_mean_weight float64, max_weight_share float64, "
            "validation_accuracy float64, baseline float64, momentum_cosine float64"
        )
        | AGES,
    ),
    ("step", "staleness"),
    optional=frozenset({"baseline", "momentum_cosine", *AGES}),
)

ARM_COLUMNS = columns_of(
    "arm text, algorithm text, baseline float64, baseline_reference text, "
    "seed int64, policy_seed int64, sampling_seed int64"
)

CURVES = Contract(
    "curves",
    1,
    make_schema(
        ARM_COLUMNS
        | columns_of(
            "split text, step int32, prompts int32, k int32, "
            "accuracy float64, accuracy_se float64, pass_at_k float64, distinct_answers float64, "
            "length float64, truncated float64, evaluation text"
        ),
        columns_of("entropy float64"),
    ),
    ("arm", "split", "step"),
)

SUMMARY = Contract(
    "summary",
    2,
    make_schema(
        ARM_COLUMNS
        | columns_of(
            "overrides text, step int32, behaviour_accuracy float64, "
            "accuracy float64, accuracy_se float64, difference_se float64, "
            "peak_accuracy float64, peak_step int32, k int32, pass_at_k float64, "
            "distinct_answers float64, length float64, truncated float64, verdict text"
        ),
        columns_of(
            "entropy float64, logp_correct float64, logp_incorrect float64, kl float64, "
            "ess float64, collapse_step int32, seconds float64"
        ),
    ),
    ("arm",),
)

SUITES = Contract(
    "suites",
    1,
    make_schema(
        ARM_COLUMNS
        | columns_of(
            "suite text, is_main bool, split text, step int32, is_last bool, "
            "prompts int32, k int32, accuracy float64, accuracy_se float64, majority float64, "
            "ties float64, pass_at_k float64, difference float64, difference_se float64, "
            "length float64, truncated float64, evaluation text"
        ),
        {},
    ),
    ("arm", "is_main", "suite", "step"),
)

CONTRACTS = (PROMPTS, ROLLOUTS, VERDICTS, EVALUATIONS, METRICS, CURVES, SUMMARY, SUITES)
