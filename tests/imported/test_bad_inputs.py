"""500 bad inputs, drawn from a seed: each is refused in words or counted, none is a traceback.

A bad row stands among good ones, as it would in a file of thousands.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from asymreinforce.config import ExperimentConfig, parse_config
from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.imported.check_rows import check_rows
from asymreinforce.imported.columns import Columns
from asymreinforce.imported.group_by_prompt import group_by_prompt
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.tokens import Encoder
from tests.fixtures import foreign_files as files
from tests.fixtures.experiments import small_values

ROWS, BYTES, SETTINGS = 300, 50, 150
BAD_VALUES: dict[str, tuple[str, ...]] = {
    "question": ("NaN", "{}", "[]", "[[]]", "true", '""', '[{"role": 1}]', "[[1], {}]", "null"),
    "completion": ("NaN", "{}", "[]", "[[]]", "5", "1e999", "[{}]", '[{"role": "user"}]', '""'),
    "gold_answer": ("{}", "[]", "[1, true]", "true", "[[1]]", '[{"type": "image"}]'),
    "policy": ("{}", "[1, 2]", "true", "NaN", "[null, 1]"),
    "sample": ("1.5", "1e400", "true", '"1"', f"1{'0' * 400}", "{}", f"-{'9' * 5_000}", "NaN"),
    "reward": ("NaN", "1e308", "-1e999", f"1{'0' * 400}", '"1"', "[]", "{}", "[0.5, 1]"),
    "finish_reason": ("1", "{}", '"odd"', "[]", "1e999", f"1{'0' * 400}"),
    "logps": ("[1e999]", f"[-1{'0' * 400}]", "[]", "[NaN]", "[0.5]", "5", '"x"', "[-0.5, -0.5]"),
    "completion_token_ids": ("[-1]", "[1e9]", "[99999]", "[true]", "5", f"[1{'0' * 400}]", "{}"),
    "prompt_token_ids": ("[]", "[-1]", "[null]", '"x"', "[[1]]", "[4294967296]", "true"),
    "level": ("{}", "[1, 2]", "false", "[{}]"),
    "subject": ("{}", "[1, 2]", "true", "[{}]"),
    "prompt_id": ("{}", "[1, 2]", "true", '[{"type": "text"}]'),
}
"""JSON of values that a field cannot have, or that means null and must be counted."""


def good(number: int) -> dict[str, Any]:
    row = files.rows(prompts=3, policies=("mu",))[number]
    return row | {"prompt_id": f"q{number}", "reward": 1.0}


def bad_row(generator: random.Random) -> str:
    """A good row with one bad field, or a line that is no row."""
    line = json.dumps(good(1))
    if generator.random() < 0.2:
        cut = generator.randrange(1, len(line) - 1)
        twice = f'{line[:-1]}, "{generator.choice(list(good(1)))}": 1}}'
        return generator.choice(
            [line[:cut], f"[{line}]", twice, "5", "null", "[" * 100_000, line[:cut] + "\x00"]
        )
    field = generator.choice(sorted(BAD_VALUES))
    value = generator.choice(BAD_VALUES[field])
    rest = json.dumps({name: v for name, v in good(1).items() if name != field})
    return f'{rest[:-1]}, "{field}": {value}}}'


def bad_bytes(generator: random.Random, directory: Path) -> Path:
    """A file of good rows of some container, damaged."""
    rows = [good(number) for number in range(3)]
    name = generator.choice(["a.parquet", "a.jsonl.gz", "a.json"])
    path = directory / name
    if name == "a.json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        (files.parquet if name == "a.parquet" else files.jsonl)(path, rows)
    content = path.read_bytes()
    path.write_bytes(content[: generator.randrange(1, len(content) - 1)])
    return path


@pytest.fixture(scope="module")
def encoder(random_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    path = tmp_path_factory.mktemp("encoder") / "a.jsonl"
    return Encoder(
        random_policy, files.settings(path.parent, random_policy, path), notes=Problems()
    )


def counted(path: Path, directory: Path, policy: Path, encoder: Encoder) -> int:
    """Read a file as an import does; return how many rows were noted."""
    config = files.settings(directory, policy, path)
    notes = Problems()
    with group_by_prompt(directory) as gathered:
        check_rows(gathered, config, encoder, Columns(config.source), notes)
    return sum(notes.counts.values())


def test_a_bad_row_is_refused_or_counted(
    tmp_path: Path, random_policy: Path, encoder: Encoder
) -> None:
    generator = random.Random(13)
    silent = []
    for number in range(ROWS):
        line = bad_row(generator)
        path = files.jsonl(tmp_path / f"{number}.jsonl", [good(0), line, good(2)])
        try:
            if not counted(path, tmp_path, random_policy, encoder):
                silent.append(line)
        except AsymreinforceError as error:
            assert str(path) in str(error)
        path.unlink()
    assert silent == []


def test_a_damaged_file_is_refused(tmp_path: Path, random_policy: Path, encoder: Encoder) -> None:
    generator = random.Random(13)
    for _ in range(BYTES):
        path = bad_bytes(generator, tmp_path)
        with pytest.raises(AsymreinforceError, match=path.name):
            counted(path, tmp_path, random_policy, encoder)
        path.unlink()


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings that are no group."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{prefix}{name}__")
        else:
            yield f"{prefix}{name}"


NO_SETTING = (float("nan"), float("inf"), {"no": {"such": 1}}, [[[1]]], b"\xff", "a\0b", "\udcff")
FREE_FORM = ("params", "rows", "where", "chat_arguments")
"""Settings that are a user's own mapping."""


def test_a_bad_setting_is_refused_by_name(tmp_path: Path, random_policy: Path) -> None:
    generator = random.Random(13)
    names = [name for name in leaves(ExperimentConfig) if not name.endswith(FREE_FORM)]
    assert len(names) > 100
    for _ in range(SETTINGS):
        name, value = generator.choice(names), generator.choice(NO_SETTING)
        with pytest.raises(ConfigError, match=name.replace("__", r"\.")):
            parse_config(settings(tmp_path, random_policy, name, value))


def numbers(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings that are a number, or none."""
    for name in leaves(model, prefix):
        inner: Any = model
        for part in name.split("__"):
            annotation = inner.model_fields[part].annotation
            inner = annotation
        if annotation in (int, float, int | None, float | None):
            yield name


@pytest.mark.parametrize("name", list(numbers(ExperimentConfig)))
def test_a_truth_value_is_no_number(name: str, tmp_path: Path, random_policy: Path) -> None:
    """YAML reads `yes` and `on` as true, which Python counts as 1."""
    with pytest.raises(ConfigError, match=rf"{name.replace('__', '[.]')}: .*not a truth value"):
        parse_config(settings(tmp_path, random_policy, name, True))


def settings(runs: Path, policy: Path, name: str, value: Any) -> dict[str, Any]:
    """The settings of a small experiment with one of them changed; dots are `__`."""
    given = small_values(runs, policy=policy)
    group = given
    *groups, last = name.split("__")
    for part in groups:
        group = group.setdefault(part, {})
    group[last] = value
    return given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train__lora__rank", 10**9),
        ("train__threads", 10**6),
        ("engine__threads", 10**6),
        ("reward__correct", 1e308),
        ("source__ignore", ["logprobs"]),
        ("runs_dir", "~no-such-user/runs"),
    ],
)
def test_a_setting_that_no_machine_can_follow_is_refused(
    name: str, value: Any, tmp_path: Path, random_policy: Path
) -> None:
    with pytest.raises(ConfigError, match=name.rpartition("__")[0].replace("__", r"\.") or name):
        parse_config(settings(tmp_path, random_policy, name, value))
