"""A plugin counts in every identity by its code, what it imports, and the data that it declares."""

import itertools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asymreinforce import plugins, tasks
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import repeats
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.imported.stores import import_stores
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.stages.evaluate import evaluation_store
from asymreinforce.stages.generate import generate, rollout_store
from asymreinforce.stages.init import make_prompts, prompt_store
from asymreinforce.stages.score import verdict_store
from asymreinforce.stages.train import arm_store
from tests import made
from tests.imported import files as foreign

USES = """
from plugin_helper import VALUE

def questions(config, split):
    for n in range(100):
        yield {"question": f"{split} {n} {VALUE}?", "gold_answer": str(n)}

def render(row):
    return f"{row['question']} {VALUE}"

def grade(metadata, gold_answer, text):
    return float(text == gold_answer) * VALUE
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory that the command is started in; what is imported from it is forgotten after."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield directory
    for name in {*sys.modules} - before:
        if name.startswith("plugin"):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)


def changes(name: str, path: Path, text: str) -> bool:
    """Tell whether the identity of a plugin is another one once a file has another text."""
    before = plugins.plugin_identity(name)
    assert plugins.plugin_identity(name) == before
    write(path, text)
    return plugins.plugin_identity(name) != before


@pytest.mark.parametrize(
    "statement",
    [
        "import plugin_lib.deep",
        "import plugin_lib.deep as other",
        "from plugin_lib import deep",
        "from plugin_lib.deep import VALUE",
        "def later():\n    from plugin_lib import deep",
        "if True:\n    try:\n        import plugin_lib.deep\n    except ImportError:\n        pass",
        "import importlib\nimportlib.import_module('plugin_lib.deep')",
        "from plugin_lib import *",
        "import plugin_between",
        "import plugin_lib.package.inner",
    ],
)
def test_a_module_that_is_imported_in_any_way_counts(here: Path, statement: str) -> None:
    write(here / "plugin.py", f"{statement}\ndef f(): pass\n")
    write(here / "plugin_between.py", "from plugin_lib.package import inner\n")
    write(here / "plugin_lib/__init__.py", "__all__ = ['deep']\n")
    write(here / "plugin_lib/deep.py", "VALUE = 1\n")
    write(here / "plugin_lib/package/__init__.py", "")
    write(here / "plugin_lib/package/inner.py", "from .. import deep\nfrom . import *\n")
    assert changes("plugin:f", here / "plugin_lib/deep.py", "VALUE = 2\n")
    assert changes("plugin:f", here / "plugin_lib/__init__.py", "__all__ = ['deep', 'other']\n")
    assert changes("plugin:f", here / "plugin.py", f"{statement}\ndef f(): return 1\n")


def test_a_plugin_in_a_package_counts_its_package_and_its_neighbours(here: Path) -> None:
    write(here / "plugins_mine/__init__.py", "")
    write(here / "plugins_mine/tasks.py", "from .words import WORDS\nfrom . import words\n")
    write(here / "plugins_mine/words.py", "WORDS = 1\n")
    assert changes("plugins_mine.tasks:f", here / "plugins_mine/words.py", "WORDS = 2\n")
    assert changes("plugins_mine.tasks:f", here / "plugins_mine/__init__.py", "FIRST = 1\n")
    assert not changes("plugins_mine.tasks:f", here / "plugins_mine/unused.py", "")


def test_modules_that_import_each_other_in_a_circle_are_read_once(here: Path) -> None:
    write(here / "plugin.py", "import plugin_other\n")
    write(here / "plugin_other.py", "import plugin\n")
    assert changes("plugin:f", here / "plugin_other.py", "import plugin\nVALUE = 2\n")


def test_installed_packages_and_this_one_do_not_count(here: Path) -> None:
    write(
        here / "plugin.py", "import json, numpy, yaml\nfrom asymreinforce.tasks import Question\n"
    )
    found = plugins.code.read_code("plugin")
    assert found
    assert [*found.sums] == ["plugin"]


def test_a_plugin_of_an_installed_package_counts_with_that_package(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = here / "lib/site-packages"
    monkeypatch.syspath_prepend(str(installed))
    write(installed / "plugin_dist/__init__.py", "")
    write(installed / "plugin_dist/graders.py", "from plugin_dist import words\n")
    write(installed / "plugin_dist/words.py", "WORDS = 1\n")
    write(here / "plugin.py", "import plugin_dist.words\n")
    assert not changes("plugin:f", installed / "plugin_dist/words.py", "WORDS = 2\n")
    assert changes("plugin_dist.graders:f", installed / "plugin_dist/words.py", "WORDS = 3\n")


def test_nothing_is_run_to_name_a_plugin_without_a_fingerprint(here: Path) -> None:
    write(here / "plugin.py", "import plugin_lib\nraise SystemExit('run')\n")
    write(here / "plugin_lib.py", "raise SystemExit('run')\n")
    assert changes("plugin:f", here / "plugin_lib.py", "this is no Python\n")


@pytest.mark.parametrize(
    "definition",
    [
        "def fingerprint(): return {text}.read_text()",
        "if True:\n    fingerprint = lambda: {text}.read_text()",
        "from plugin_lib import fingerprint",
    ],
)
def test_data_counts_by_the_fingerprint_that_a_plugin_declares(here: Path, definition: str) -> None:
    path = f"__import__('pathlib').Path({str(here / 'data.txt')!r})"
    write(here / "plugin_lib.py", f"def fingerprint(): return {path}.read_text()\n")
    write(here / "plugin.py", definition.format(text=path))
    write(here / "data.txt", "one")
    assert changes("plugin:f", here / "data.txt", "two")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return open('absent.json').read()", "fingerprint fails.*absent.json"),
        ("return None", "names no data"),
        ("return float('nan')", "no JSON value"),
        ("return object()", "no JSON value"),
    ],
)
def test_a_fingerprint_that_names_nothing_is_refused(here: Path, body: str, message: str) -> None:
    write(here / "plugin.py", f"def fingerprint():\n    {body}\n")
    with pytest.raises(InputError, match=message):
        plugins.plugin_identity("plugin:f")


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("import importlib, os\nimportlib.import_module(os.environ['X'])", "2: import_module"),
        ("import sys\nsys.path.insert(0, 'elsewhere')", "2: sys.path"),
        ("exec(open('other.py').read())", "1: exec"),
        ("import importlib.util as u\nu.spec_from_file_location('a', 'a.py')", "2: spec_from"),
        ("from importlib import import_module as load\nload('plugin')", "1: import_module"),
    ],
)
def test_code_that_cannot_be_followed_is_warned_of_once(
    here: Path,
    statement: str,
    place: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins, "_WARNED", set())
    write(here / "plugin.py", "import plugin_lib\n")
    write(here / "plugin_lib.py", statement)
    plugins.plugin_identity("plugin:f")
    plugins.plugin_identity("plugin:f")
    said = capsys.readouterr().err
    assert said.count(f"warning: plugin:f: plugin_lib, line {place}") == 1
    assert said.count("warning") == 1


def test_a_plugin_that_is_not_there_is_named(here: Path) -> None:
    with pytest.raises(ConfigError, match="there is no module plugin_absent"):
        plugins.plugin_identity("plugin_absent:f")


def _prompts(config: Any, policy: Path, prompts: Store) -> Store:
    return prompt_store(config.task, config.directory)


def _rollouts(config: Any, policy: Path, prompts: Store) -> Store:
    return rollout_store(config, checkpoint=policy, prompts=prompts, parent=config.directory)


def _evaluations(config: Any, policy: Path, prompts: Store) -> Store:
    return evaluation_store(config, split="held_out", prompts=prompts, parent=config.directory)


def _verdicts(config: Any, policy: Path, prompts: Store) -> Store:
    return verdict_store(
        rollouts=prompts,
        prompts=prompts.path("train.parquet"),
        parent=config.directory,
        grader=config.task.grader,
        reward=config.reward,
    )


def _imported(config: Any, policy: Path, prompts: Store) -> Store:
    return import_stores(config, checkpoint=policy).rollouts


def _imported_prompts(config: Any, policy: Path, prompts: Store) -> Store:
    return import_stores(config, checkpoint=policy).prompts


TASK = {"task__name": "mine", "task__kind": "plugin:questions"}
TEMPLATE = {"task__template": "plugin:render"}
GRADER = {"task__grader": "plugin:grade"}


@pytest.mark.parametrize("change", ["helper", "declared data"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (_prompts, TASK),
        (_imported_prompts, TASK),
        (_rollouts, TEMPLATE),
        (_evaluations, TEMPLATE),
        (_imported, TEMPLATE),
        (_verdicts, GRADER),
        (_evaluations, GRADER),
    ],
)
def test_every_store_is_another_one_once_a_plugin_changed(
    here: Path,
    random_policy: Path,
    name: Callable[..., Store],
    settings: dict[str, str],
    change: str,
) -> None:
    write(here / "plugin.py", f"{USES}def fingerprint(): return open('data.txt').read()\n")
    write(here / "plugin_helper.py", "VALUE = 1\n")
    write(here / "data.txt", "one")
    cups = made.config(here / "runs", policy=random_policy)
    prompts = make_prompts(cups.task, cups.directory / "prompts")
    rows = foreign.jsonl(here / "rows.jsonl", foreign.rows())
    config = made.config(here / "runs", policy=random_policy, source__path=str(rows), **settings)
    before = name(config, random_policy, prompts).hash
    assert name(config, random_policy, prompts).hash == before
    if change == "helper":
        write(here / "plugin_helper.py", "VALUE = 2\n")
    else:
        write(here / "data.txt", "two")
    assert name(config, random_policy, prompts).hash != before


def drawn(here: Path, policy: Path, *, samples: int) -> Store:
    """Draw so many samples of each prompt, as a process of its own would."""
    for module in ("plugin", "plugin_helper"):
        sys.modules.pop(module, None)
    more = {"sampling__samples_per_prompt": samples}
    config = made.config(here / "runs", policy=policy, **TEMPLATE, **more)
    return generate(
        config,
        checkpoint=policy,
        prompts=make_prompts(config.task, config.directory / "prompts"),
        engine=made.FakeEngine(load_tokenizer(policy)),
        parent=config.directory / "rollouts",
    )


def test_more_samples_under_an_edited_template_never_join_the_old_ones(
    here: Path, random_policy: Path
) -> None:
    write(here / "plugin.py", USES)
    write(here / "plugin_helper.py", "VALUE = 1\n")
    few = drawn(here, random_policy, samples=4)
    write(here / "plugin_helper.py", "VALUE = 2\n")
    more = drawn(here, random_policy, samples=8)
    assert few.directory != more.directory
    assert [len(store.planned) for store in (few, more)] == [6, 12]


@pytest.mark.parametrize("has_digest", [True, False])
def test_prompts_that_changed_unseen_are_refused_before_they_join_the_old_ones(
    here: Path, random_policy: Path, has_digest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The template reads a file that it does not declare; older receipts hold no digest."""
    write(here / "plugin.py", "def render(row): return row['question'] + open('end.txt').read()\n")
    write(here / "end.txt", " =")
    with monkeypatch.context() as patch:
        if not has_digest:
            patch.setattr(repeats, "PROMPTS_DIGEST", "another_fact")
        store = drawn(here, random_policy, samples=4)
    before = made.stamps(store.directory)
    write(here / "end.txt", " 1 =")
    with pytest.raises(InputError, match="one prompt_id would stand for two prompts"):
        drawn(here, random_policy, samples=8)
    after = made.stamps(store.directory)
    assert {name for name in after if after[name] != before.get(name)} == {"plan.json"}
    write(here / "end.txt", " =")
    assert drawn(here, random_policy, samples=8).is_complete()


def test_a_task_s_own_settings_and_the_files_that_they_name_count(here: Path) -> None:
    write(here / "plugin.py", USES)
    write(here / "plugin_helper.py", "VALUE = 1\n")
    write(here / "data/rows.txt", "one")

    def named(**settings: Any) -> str:
        config = made.config(here / "runs", policy="mu", **TASK, **settings)
        return prompt_store(config.task, here).hash

    kinds: list[dict[str, Any]] = [
        {},
        {"task__max_characters": 10},
        {"task__instruction": "Be brief."},
        {"task__params": {"count": 3}},
        {"task__sources": {"train": {"hub": "a/b", "revision": "main"}}},
        {"task__sources": {"train": {"hub": "a/b", "revision": "other"}}},
        {"task__path": "data"},
    ]
    names = [named(**settings) for settings in kinds]
    assert all(a != b for a, b in itertools.combinations(names, 2))
    assert named(**GRADER) == names[0]  # verdicts are of the grader, prompts are not
    write(here / "data/rows.txt", "two")
    assert named(task__path="data") not in names
    with pytest.raises(InputError, match="absent: no such file"):
        named(task__path="absent")


def test_another_version_of_reasoning_gym_makes_other_prompts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from asymreinforce.tasks import reasoning_gym_task

    config = made.config(tmp_path, policy="mu", task__name="chain_sum", task__kind="reasoning_gym")
    before = prompt_store(config.task, tmp_path).hash
    assert "reasoning-gym" in tasks.task_fingerprints(config.task)
    monkeypatch.setattr(reasoning_gym_task.metadata, "version", lambda name: "9.9")  # type: ignore[attr-defined]
    assert prompt_store(config.task, tmp_path).hash != before


def test_other_end_tokens_make_another_import(tmp_path: Path, random_policy: Path) -> None:
    """A text that had ended gets an end token, and a model may declare other ones."""
    rows = foreign.jsonl(tmp_path / "rows.jsonl", foreign.rows())
    config = made.config(tmp_path / "runs", policy=random_policy, source__path=str(rows))
    copy = Path(shutil.copytree(random_policy, tmp_path / "copy"))
    before = import_stores(config, checkpoint=random_policy).rollouts.hash
    assert import_stores(config, checkpoint=copy).rollouts.hash == before
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 7]}))
    assert import_stores(config, checkpoint=copy).rollouts.hash != before


class FromElsewhere(ScoredRollouts):
    """A set that counts as imported."""

    @property
    def is_imported(self) -> bool:
        return True


def test_a_grader_that_validates_an_arm_on_imported_rollouts_counts(
    here: Path, random_policy: Path
) -> None:
    write(here / "plugin.py", USES)
    write(here / "plugin_helper.py", "VALUE = 1\n")
    rollouts, verdicts = made.scored_set(here / "set", prompts=16, samples=4)
    scored = FromElsewhere(rollouts, verdicts, samples=4)
    imported = {"source__path": "rows.jsonl", "source__validation": 4}
    settings = {**GRADER, **imported, "train__validation_prompts": 4}
    config = made.config(here / "runs", policy=random_policy, **settings)
    prompts = make_prompts(config.task, config.directory / "prompts")

    def name(config: ExperimentConfig) -> str:
        store = arm_store(
            config, checkpoint=random_policy, scored=scored, parent=here, prompts=prompts
        )
        return store.hash

    without = config.model_copy(
        update={"train": config.train.model_copy(update={"validation_prompts": 0})}
    )
    before, unvalidated = name(config), name(without)
    assert name(config) == before
    write(here / "plugin_helper.py", "VALUE = 2\n")
    assert name(config) != before
    assert name(without) == unvalidated
