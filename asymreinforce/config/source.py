"""Settings of rollouts that come from elsewhere: which file, and which of its columns is what."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from asymreinforce.config.paths import HomePath
from asymreinforce.config.settings import Settings

Format = Literal["jsonl", "parquet", "csv", "arrow", "trl", "verl", "lm_eval"]
Turns = Literal["first", "last"]


class SourceColumns(Settings):
    """Names of columns in the file; `a.b` looks into nested values. Null: by the format's names."""

    prompt_id: str | None = Field(None, description="null: a hash of the prompt")
    question: str | None = Field(None, description="text, or a list of chat messages")
    prompt_token_ids: str | None = Field(
        None, description="ids of the whole prompt, of the policy's tokenizer"
    )
    gold_answer: str | None = Field(None, description="what a grader compares with")
    policy: str | None = Field(None, description="who wrote the row")
    sample: str | None = Field(None, description="the row's own number, kept as source_sample")
    completion: str | None = Field(None, description="text; a list of texts makes a row of each")
    completion_token_ids: str | None = Field(
        None, description="ids of the completion, of the policy's tokenizer"
    )
    logps: str | None = Field(None, description="log-probabilities of the completion's tokens")
    reward: str | None = Field(None, description="becomes a verdict of the grader 'imported'")
    finish_reason: str | None = Field(None, description="or whether the completion was cut off")
    level: str | None = Field(None, description="of difficulty, for reports")
    subject: str | None = Field(None, description="for reports")
    metadata: str | None = Field(None, description="anything else, kept as JSON")

    def named(self) -> dict[str, str]:
        """Return the columns that were named, by field."""
        return {field: name for field, name in self if name is not None}


class SourceConfig(Settings):
    """Rollouts from elsewhere. With a `path`, every stage works on them and none is generated."""

    path: HomePath | None = Field(None, description="a file, or a directory of files")
    format: Format | None = Field(None, description="null: by the file's ending")
    columns: SourceColumns = SourceColumns()
    ignore: tuple[str, ...] = Field(
        (), description="fields that are not read, such as [logps] of another policy"
    )
    policy: str | None = Field(None, description="writer of rows that name none; null: the file")
    templated: bool | None = Field(
        None, description="the question is the whole prompt, as the model saw it; null: by format"
    )
    ended: bool = Field(True, description="texts that do not say had ended by themselves")
    turns: Turns | None = Field(
        None, description="of a completion of several messages; null: such rows are refused"
    )
    filter: str | None = Field(None, description="lm_eval: which filter's rows; null: the first")
    too_long: Literal["skip", "refuse"] = Field("skip", description="rows beyond the context")
    verdicts: Literal["imported", "graded"] | None = Field(
        None, description="which verdicts train; null: imported where every row came with a reward"
    )
    validation: int = Field(0, ge=0, description="prompts held back; 0: the task's own")
    held_out: int = Field(0, ge=0, description="prompts held back; 0: the task's own")
    prompts_per_shard: int = Field(
        256, ge=1, description="prompts whose rollouts are written as one file"
    )

    @field_validator("ignore", mode="before")
    @classmethod
    def one_field_is_a_list_of_one(cls, value: Any) -> Any:
        """`source.ignore=logps` says the same as `source.ignore=[logps]`."""
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def an_ignored_field_is_a_field_without_a_column(self) -> Self:
        """A misspelt one would be read after all, and a named one is wanted."""
        for name in self.ignore:
            if name not in SourceColumns.model_fields:
                fields = ", ".join(SourceColumns.model_fields)
                raise ValueError(f"source.ignore: no field {name!r}; there are {fields}")
            if name in self.columns.named():
                raise ValueError(f"source.columns.{name} is set, and source.ignore leaves it out")
        return self

    @model_validator(mode="after")
    def a_filter_is_of_lm_eval(self) -> Self:
        """Only lm-evaluation-harness writes a row for each filter."""
        if self.filter is not None and self.format != "lm_eval":
            raise ValueError("source.filter needs source.format=lm_eval")
        return self
