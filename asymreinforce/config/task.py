"""The settings of a task: its questions, how they become prompts, and which grader judges."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from asymreinforce import plugins
from asymreinforce.config.paths import HomePath
from asymreinforce.config.settings import Settings
from asymreinforce.plugins import is_plugin

Split = Literal["train", "validation", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "validation", "held_out")
RENDERING = {"chat", "system", "instruction", "chat_arguments", "date", "template"}
"""Settings that decide how a question becomes a prompt."""


class TaskSourceConfig(Settings):
    """Where the rows of one split come from: a hub data set, or local files in its place.

    A source with neither is absent, and its questions are kept back from the training rows.
    """

    hub: str | None = Field(None, description="id of a hub data set, such as openai/gsm8k")
    subset: str | None = Field(None, description="the data set's configuration, such as main")
    revision: str | None = Field(None, description="commit, tag or branch; null for main")
    split: str = Field("train", description="the data set's own name of the split")
    path: HomePath | None = Field(None, description="a local file or directory to read instead")
    where: dict[str, list[Any]] = Field(
        default_factory=dict, description="column -> values; rows with others are left out"
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
    """Names of columns, the first that a file has being read; dots reach into structs.

    verl's prompt parquet needs none of them: it is recognised by its own columns.
    """

    question: tuple[str, ...] = Field(("question", "problem"), description="its text")
    answer: tuple[str, ...] = Field(("answer",), description="the gold answer")
    solution: tuple[str, ...] = Field(
        ("solution",), description="without an answer: what its last \\boxed{} holds"
    )
    level: tuple[str, ...] = Field(("level",), description="of difficulty, for reports")
    subject: tuple[str, ...] = Field(("subject", "type"), description="for reports")
    id: tuple[str, ...] = Field(
        ("id", "unique_id"), description="the question's own name, kept beside it"
    )

    @field_validator("*", mode="before")
    @classmethod
    def one_name_is_a_list_of_one(cls, value: Any) -> Any:
        """`columns.question=text` says the same as `columns.question=[text]`."""
        return (value,) if isinstance(value, str) else value or ()


class OverlapConfig(Settings):
    """The check of training questions against those that are validated and held out."""

    action: Literal["ignore", "report", "drop"] = Field(
        "ignore", description="drop: leave the training questions concerned out"
    )
    drop: Literal["exact", "near"] = Field("near", description="which of them are dropped")
    ngram: int = Field(5, ge=1, description="words in a row that are compared")
    threshold: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of the n-grams that counts as near"
    )


class TaskConfig(Settings):
    """Where prompts and gold answers come from, and which grader judges the answers."""

    name: str = Field(description="of the task; for reasoning-gym the name of a family")
    kind: str | None = Field(
        None,
        description="cups, dial, count, reasoning_gym, dataset, imported, module:function; null: "
        "by the name",
    )
    family: str | None = Field(None, description="of reasoning-gym, where the name is another")
    seed: int = Field(0, description="draws and splits the questions")
    train: int | None = Field(ge=0, description="training prompts; null for all there are")
    validation: int | None = Field(ge=0, description="prompts that choose the best checkpoint")
    held_out: int | None = Field(ge=0, description="prompts that are reported, and choose nothing")
    params: dict[str, Any] = Field(default_factory=dict, description="passed to the task")

    path: HomePath | None = Field(
        None, description="a local copy of the data: a file or a directory"
    )
    sources: TaskSourcesConfig = TaskSourcesConfig()
    columns: ColumnsConfig = ColumnsConfig()
    division: Literal["7500/5000", "12000/500"] | None = Field(
        None, description="of MATH: as published, or with MATH-500 held out and all else trained on"
    )
    answer_marker: str | None = Field(
        None, description="the answer is what follows its last occurrence, such as '####'"
    )
    no_answers: list[str] = Field(
        default_factory=list, description="values that stand for no answer, such as 'proof'"
    )
    max_characters: int | None = Field(
        None, ge=1, description="longer questions are left out, and counted"
    )
    rows: dict[Split, int] = Field(
        default_factory=dict, description="rows that a source is known to hold, for 'asymrl plan'"
    )
    overlap: OverlapConfig = OverlapConfig()

    chat: Literal["auto", "never"] = Field(
        "auto", description="use the tokenizer's chat template where it has one, or never"
    )
    system: str | None = Field(None, description="system prompt")
    instruction: str | None = Field(
        None, description="how to answer; follows the question on a line of its own"
    )
    chat_arguments: dict[str, Any] = Field(
        default_factory=dict, description="passed to the chat template, such as enable_thinking"
    )
    date: str = Field(
        "2024-07-26",
        pattern=r"^\d{4}-\d\d-\d\d$",
        description="what a chat template that asks for today's date is told",
    )
    template: str = Field(
        "{question}", description="text of a prompt for models without a chat, or module:function"
    )
    completion_tokens: int = Field(
        1024, ge=1, description="longest completion that it needs: sampling.max_tokens=null"
    )
    grader: str = Field(description="how completions are judged: a name in grading/graders.py")

    @field_validator("name", mode="before")
    @classmethod
    def a_task_has_a_name(cls, value: Any) -> Any:
        """`task=reasoning_gym` leaves it to the user, and null would only be 'not a string'."""
        if value is None:
            raise ValueError("missing; for reasoning-gym it is a family, as in task.name=chain_sum")
        return value

    @property
    def loader(self) -> str:
        """What makes the questions: a name in `tasks.TASKS`, or a user's module:function."""
        return self.kind or self.name

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide which questions there are, beside the data's own contents."""
        kept = {"name", "kind", "family", "seed", *SPLITS, "params"}
        if is_plugin(self.loader):  # it is given all settings, and nothing tells what it reads
            kept = {*type(self).model_fields} - {"path", "rows", "completion_tokens", "grader"}
        if self.loader == "dataset":
            kept |= {"sources", "columns", "division", "answer_marker", "no_answers"}
            kept |= {"max_characters", "overlap"}
        values = self.model_dump(mode="json", include=kept, exclude_none=True)
        for source in values.get("sources", {}).values():
            source.pop("path", None)
            if self.loader == "dataset":  # its fingerprint holds the commit
                source.pop("revision", None)
        return values

    @property
    def rendering(self) -> dict[str, Any]:
        """What decides how a question becomes a prompt, for identities."""
        values = self.model_dump(include=RENDERING)
        if is_plugin(self.template):
            values["code"] = plugins.plugin_identity(self.template)
        return values

    @model_validator(mode="after")
    def a_plain_template_holds_the_question(self) -> Self:
        """Without it every prompt would be the same."""
        if "{question}" not in self.template and not is_plugin(self.template):
            raise ValueError(
                "task.template must hold {question}, or name a function as module:function"
            )
        return self
