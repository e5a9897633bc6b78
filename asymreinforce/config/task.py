"""Settings of a task: its questions, how they become prompts, and its grader."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from asymreinforce import plugins
from asymreinforce.config.settings import HomePath, Settings
from asymreinforce.plugins import is_plugin

Split = Literal["train", "validation", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "validation", "held_out")
RENDERING = {"chat", "system", "instruction", "chat_arguments", "date", "template"}
"""Settings that decide how a question becomes a prompt."""


class TaskSourceConfig(Settings):
    """The source of one split's rows: a hub data set, or local files in its place.

    If neither is given, the split's questions are kept back from the training rows.
    """

    hub: str | None = Field(None, description="id of a hub data set, such as openai/gsm8k")
    subset: str | None = Field(None, description="the data set's configuration, such as main")
    revision: str | None = Field(None, description="commit, tag or branch; null for main")
    split: str = Field("train", description="the split's name in the data set")
    path: HomePath | None = Field(None, description="a local file or directory to read instead")
    where: dict[str, list[Any]] = Field(
        default_factory=dict, description="column -> values; rows with other values are left out"
    )

    @field_validator("where", mode="before")
    @classmethod
    def one_value_is_a_list_of_one(cls, value: Any) -> Any:
        """`where.synthetic=false` says the same as `where.synthetic=[false]`."""
        if not isinstance(value, dict):
            return value
        return {k: v if isinstance(v, list | tuple) else [v] for k, v in value.items()}


class TaskSourcesConfig(Settings):
    """The sources of the splits; `marks` names the questions that `task.division` holds out."""

    train: TaskSourceConfig = TaskSourceConfig()
    validation: TaskSourceConfig = TaskSourceConfig()
    held_out: TaskSourceConfig = TaskSourceConfig()
    marks: TaskSourceConfig = TaskSourceConfig()


class ColumnsConfig(Settings):
    """Names of columns; the first name that a file has is read. Dots read nested values.

    verl's prompt parquet needs no names: its columns are recognised.
    """

    question: tuple[str, ...] = Field(("question", "problem"), description="the question's text")
    answer: tuple[str, ...] = Field(("answer",), description="the gold answer")
    solution: tuple[str, ...] = Field(
        ("solution",), description="if there is no answer: its last \\boxed{} is the answer"
    )
    level: tuple[str, ...] = Field(("level",), description="level of difficulty, for reports")
    subject: tuple[str, ...] = Field(("subject", "type"), description="subject, for reports")
    id: tuple[str, ...] = Field(
        ("id", "unique_id"), description="the question's own id, kept as metadata"
    )

    @field_validator("*", mode="before")
    @classmethod
    def one_name_is_a_list_of_one(cls, value: Any) -> Any:
        """`columns.question=text` says the same as `columns.question=[text]`."""
        return (value,) if isinstance(value, str) else value or ()


class OverlapConfig(Settings):
    """The search for training questions that are also validation or held-out questions."""

    action: Literal["ignore", "report", "drop"] = Field(
        "ignore", description="drop: leave such training questions out"
    )
    drop: Literal["exact", "near"] = Field("near", description="which matches are dropped")
    ngram: int = Field(5, ge=1, description="words of an n-gram")
    threshold: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of the n-grams that counts as near"
    )


class TaskConfig(Settings):
    """The source of prompts and gold answers, and the grader of the answers."""

    name: str = Field(description="name of the task; for reasoning-gym the name of a family")
    kind: str | None = Field(
        None,
        description="cups, dial, count, reasoning_gym, dataset, imported, module:function; null: "
        "by the name",
    )
    family: str | None = Field(None, description="family of reasoning-gym, if not the name")
    seed: int = Field(0, description="seed that draws and splits the questions")
    train: int | None = Field(ge=0, description="training prompts; null: all")
    validation: int | None = Field(ge=0, description="prompts that choose the best checkpoint")
    held_out: int | None = Field(ge=0, description="prompts that are reported and choose nothing")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the task")

    path: HomePath | None = Field(
        None, description="a local copy of the data: a file or a directory"
    )
    sources: TaskSourcesConfig = TaskSourcesConfig()
    columns: ColumnsConfig = ColumnsConfig()
    division: Literal["7500/5000", "12000/500"] | None = Field(
        None, description="division of MATH: as published, or MATH-500 held out and the rest train"
    )
    answer_marker: str | None = Field(
        None, description="the answer follows the last occurrence of this text, such as '####'"
    )
    no_answers: list[str] = Field(
        default_factory=list, description="values that mean no answer, such as 'proof'"
    )
    max_characters: int | None = Field(
        None, ge=1, description="longer questions are left out, and counted"
    )
    rows: dict[Split, int] = Field(
        default_factory=dict, description="known number of rows of a source, for 'asymrl plan'"
    )
    overlap: OverlapConfig = OverlapConfig()

    chat: Literal["auto", "never"] = Field(
        "auto", description="auto: use the tokenizer's chat template if it has one"
    )
    system: str | None = Field(None, description="system prompt")
    instruction: str | None = Field(
        None, description="how to answer; follows the question on a new line"
    )
    chat_arguments: dict[str, Any] = Field(
        default_factory=dict, description="arguments of the chat template, as enable_thinking"
    )
    date: str = Field(
        "2024-07-26",
        pattern=r"^\d{4}-\d\d-\d\d$",
        description="date for chat templates that ask for today's date",
    )
    template: str = Field(
        "{question}", description="text of a prompt for models without a chat, or module:function"
    )
    completion_tokens: int = Field(
        1024, ge=1, description="default of sampling.max_tokens, at most half of policy.context"
    )
    grader: str = Field(description="grader of completions: a name in grading/graders.py")

    @field_validator("name", mode="before")
    @classmethod
    def a_task_has_a_name(cls, value: Any) -> Any:
        """`name` may not be null."""
        # task=reasoning_gym leaves the name to the user; pydantic would only say 'not a string'
        if value is None:
            raise ValueError("missing; for reasoning-gym it is a family, as in task.name=chain_sum")
        return value

    @property
    def loader(self) -> str:
        """The loader of the questions: a name in `tasks.TASKS`, or a user's module:function."""
        return self.kind or self.name

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that, with the contents of the data, determine the questions."""
        kept = {"name", "kind", "family", "seed", *SPLITS, "params"}
        if is_plugin(self.loader):  # a user's function gets all settings and may read any of them
            kept = {*type(self).model_fields} - {"path", "rows", "completion_tokens", "grader"}
        if self.loader == "dataset":
            kept |= {"sources", "columns", "division", "answer_marker", "no_answers"}
            kept |= {"max_characters", "overlap"}
        values = self.model_dump(mode="json", include=kept, exclude_none=True)
        for source in values.get("sources", {}).values():
            source.pop("path", None)  # a local copy counts by its contents, not by its place
            if self.loader == "dataset":  # the data set's fingerprint holds the commit
                source.pop("revision", None)
        return values

    @property
    def rendering(self) -> dict[str, Any]:
        """Settings that decide how a question becomes a prompt, for identities."""
        values = self.model_dump(include=RENDERING)
        if is_plugin(self.template):
            values["code"] = plugins.plugin_identity(self.template)
        return values

    @model_validator(mode="after")
    def a_plain_template_holds_the_question(self) -> Self:
        """A plain template must hold {question}: else every prompt would be the same."""
        if "{question}" not in self.template and not is_plugin(self.template):
            raise ValueError(
                "task.template must hold {question}, or name a function as module:function"
            )
        return self
