"""Settings of imported rollouts: the file, and the meaning of its columns."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from asymreinforce.config.settings import HomePath, Settings, listed

Format = Literal["jsonl", "parquet", "csv", "arrow", "trl", "verl", "lm_eval"]
Turns = Literal["first", "last"]


class SourceColumns(Settings):
    """Names of columns in the file; `a.b` reads nested values. Null: the format's own names."""

    prompt_id: str | None = Field(None, description="null: a hash of the prompt")
    question: str | None = Field(None, description="text, or a list of chat messages")
    prompt_token_ids: str | None = Field(
        None, description="token ids of the whole prompt, by the policy's tokenizer"
    )
    gold_answer: str | None = Field(None, description="answer with which graders compare")
    policy: str | None = Field(None, description="policy that wrote the row")
    sample: str | None = Field(None, description="the row's own number, kept as source_sample")
    completion: str | None = Field(None, description="text; a list of texts becomes several rows")
    completion_token_ids: str | None = Field(
        None, description="token ids of the completion, by the policy's tokenizer"
    )
    logps: str | None = Field(None, description="log-probabilities of the completion's tokens")
    reward: str | None = Field(None, description="becomes a verdict of the grader 'imported'")
    finish_reason: str | None = Field(None, description="or whether the completion was cut off")
    level: str | None = Field(None, description="level of difficulty, for reports")
    subject: str | None = Field(None, description="subject, for reports")
    metadata: str | None = Field(None, description="anything else, kept as JSON")

    def named(self) -> dict[str, str]:
        """Return the names that are not null, by field."""
        return {field: name for field, name in self if name is not None}


class SourceConfig(Settings):
    """Imported rollouts. With a `path`, every stage uses them and no rollouts are generated."""

    path: HomePath | None = Field(None, description="a file, or a directory of files")
    format: Format | None = Field(None, description="null: by the file's ending")
    columns: SourceColumns = SourceColumns()
    ignore: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), description="fields that are not read, such as [logps] of another policy"
    )
    policy: str | None = Field(None, description="policy of rows that name none; null: the file")
    templated: bool | None = Field(
        None, description="the question is the whole prompt, as the model saw it; null: by format"
    )
    ended: bool = Field(True, description="completions without finish_reason were not cut off")
    turns: Turns | None = Field(
        None, description="which message of a completion of several; null: such rows are errors"
    )
    filter: str | None = Field(
        None, description="lm_eval: filter whose rows are read; null: the first"
    )
    too_long: Literal["skip", "refuse"] = Field("skip", description="rows beyond the context")
    verdicts: Literal["imported", "graded"] | None = Field(
        None, description="verdicts for training; null: imported if every row has a reward"
    )
    validation: int = Field(0, ge=0, description="prompts held back; 0: the task's own")
    held_out: int = Field(0, ge=0, description="prompts held back; 0: the task's own")
    prompts_per_shard: int = Field(256, ge=1, description="prompts in one shard")

    @model_validator(mode="after")
    def an_ignored_field_is_a_field_without_a_column(self) -> Self:
        """An ignored field must exist and have no column set."""
        # a misspelt field would be read after all
        for name in self.ignore:
            if name not in SourceColumns.model_fields:
                fields = ", ".join(SourceColumns.model_fields)
                raise ValueError(f"source.ignore: no field {name!r}; there are {fields}")
            if name in self.columns.named():
                raise ValueError(f"source.columns.{name} is set, and source.ignore leaves it out")
        return self

    @model_validator(mode="after")
    def a_filter_is_of_lm_eval(self) -> Self:
        """`filter` needs format lm_eval: only lm-evaluation-harness writes a row per filter."""
        if self.filter is not None and self.format != "lm_eval":
            raise ValueError("source.filter needs source.format=lm_eval")
        return self
