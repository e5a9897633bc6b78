"""A store whose bytes a plugin makes is another one once the plugin changed."""

import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asymreinforce import tasks
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import repeats
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import InputError
from asymreinforce.imported.stores import import_stores
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.stages.evaluate import evaluation_store
from asymreinforce.stages.generate import generate, rollout_store
from asymreinforce.stages.init import make_prompts, prompt_store
from asymreinforce.stages.score import verdict_store
from asymreinforce.stages.train import arm_store
from tests.fixtures import foreign_files as foreign
from tests.fixtures.experiments import small_config
from tests.fixtures.fake_engine import FakeEngine
from tests.fixtures.plugin_files import USES, write
from tests.fixtures.scored_sets import write_scored_set
from tests.fixtures.stored_files import read_stamps


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
    cups = small_config(here / "runs", policy=random_policy)
    prompts = make_prompts(cups.task, cups.directory / "prompts")
    rows = foreign.jsonl(here / "rows.jsonl", foreign.rows())
    config = small_config(here / "runs", policy=random_policy, source__path=str(rows), **settings)
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
    config = small_config(here / "runs", policy=policy, **TEMPLATE, **more)
    return generate(
        config,
        checkpoint=policy,
        prompts=make_prompts(config.task, config.directory / "prompts"),
        engine=FakeEngine(load_tokenizer(policy)),
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
    before = read_stamps(store.directory)
    write(here / "end.txt", " 1 =")
    with pytest.raises(InputError, match="one prompt_id would stand for two prompts"):
        drawn(here, random_policy, samples=8)
    after = read_stamps(store.directory)
    assert {name for name in after if after[name] != before.get(name)} == {"plan.json"}
    write(here / "end.txt", " =")
    assert drawn(here, random_policy, samples=8).is_complete()


def test_a_task_s_own_settings_and_the_files_that_they_name_count(here: Path) -> None:
    write(here / "plugin.py", USES)
    write(here / "plugin_helper.py", "VALUE = 1\n")
    write(here / "data/rows.txt", "one")

    def named(**settings: Any) -> str:
        config = small_config(here / "runs", policy="mu", **TASK, **settings)
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

    config = small_config(tmp_path, policy="mu", task__name="chain_sum", task__kind="reasoning_gym")
    before = prompt_store(config.task, tmp_path).hash
    assert "reasoning-gym" in tasks.task_fingerprints(config.task)
    monkeypatch.setattr(reasoning_gym_task.metadata, "version", lambda name: "9.9")  # type: ignore[attr-defined]
    assert prompt_store(config.task, tmp_path).hash != before


def test_other_end_tokens_make_another_import(tmp_path: Path, random_policy: Path) -> None:
    """A text that had ended gets an end token, and a model may declare other ones."""
    rows = foreign.jsonl(tmp_path / "rows.jsonl", foreign.rows())
    config = small_config(tmp_path / "runs", policy=random_policy, source__path=str(rows))
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
    rollouts, verdicts = write_scored_set(here / "set", prompts=16, samples=4)
    scored = FromElsewhere(rollouts, verdicts, samples=4)
    imported = {"source__path": "rows.jsonl", "source__validation": 4}
    settings = {**GRADER, **imported, "train__validation_prompts": 4}
    config = small_config(here / "runs", policy=random_policy, **settings)
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
