"""Init: prompts in three splits, and the embedded policy, equal bytes for equal settings."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from asymreinforce import tasks
from asymreinforce.config import ExperimentConfig
from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.model.checkpoint import load_model, load_tokenizer
from asymreinforce.model.embedded import END, learning_rate_factor
from asymreinforce.stages import init
from asymreinforce.stages.init import EMBEDDED_RECIPE, make_policy, make_prompts, policy_store
from asymreinforce.tasks import cups
from tests.fixtures.experiments import small_config
from tests.fixtures.stored_files import read_payload, read_stamps

TINY = {
    "policy__source": "embedded",
    "policy__embedded__warm_up__steps": 4,
    "policy__embedded__warm_up__questions": 200,
    "policy__embedded__warm_up__batch_size": 8,
}


def test_prompts_are_the_task_s_questions_split_by_split(config: ExperimentConfig) -> None:
    store = make_prompts(config.task, config.directory / "prompts")
    assert store.is_complete()
    for split, count in (("train", 24), ("validation", 8), ("held_out", 12)):
        rows = contracts.read_table(store.path(f"{split}.parquet"), contracts.PROMPTS).to_pylist()
        found = tasks.split_questions(config.task, split)  # type: ignore[arg-type]
        assert rows == [question._asdict() for question in found] and len(rows) == count


def test_complete_prompts_are_left_alone_and_a_missing_split_is_made_again(
    config: ExperimentConfig,
) -> None:
    store = make_prompts(config.task, config.directory / "prompts")
    before, payload = read_stamps(store.directory), read_payload(store.directory)
    make_prompts(config.task, config.directory / "prompts")
    assert read_stamps(store.directory) == before
    store.drop("held_out.parquet")
    make_prompts(config.task, config.directory / "prompts")
    assert read_payload(store.directory) == payload
    assert read_stamps(store.directory)["train.parquet"] == before["train.parquet"]


def test_equal_settings_make_equal_policies_and_another_seed_another(tmp_path: Path) -> None:
    def weights(parent: str, seed: int) -> bytes:
        config = small_config(tmp_path, policy="embedded", policy__seed=seed, **TINY)
        return (make_policy(config, tmp_path / parent) / "model.safetensors").read_bytes()

    first = weights("first", 0)
    assert weights("second", 0) == first
    assert weights("second", 1) != first


def test_a_policy_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    config = small_config(tmp_path, policy="embedded", **TINY)
    checkpoint = make_policy(config, tmp_path / "policy")
    before = read_stamps(tmp_path / "policy")
    assert make_policy(config, tmp_path / "policy") == checkpoint
    assert read_stamps(tmp_path / "policy") == before
    (checkpoint / "model.safetensors").write_bytes(b"half")
    make_policy(config, tmp_path / "policy")
    assert load_model(checkpoint).num_parameters() > 0


def test_the_embedded_policy_is_of_the_size_and_vocabulary_it_says(tmp_path: Path) -> None:
    settings = TINY | {"policy__embedded__warm_up__questions": 5000}
    config = small_config(tmp_path, policy="embedded", **settings)
    checkpoint = make_policy(config, tmp_path / "policy")
    tokenizer = load_tokenizer(checkpoint)
    assert len(tokenizer) == 291 and tokenizer.eos_token == END  # no more pairs are left to merge
    assert load_model(checkpoint).num_parameters() == pytest.approx(268_000, abs=2_000)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode(" Answer: 4-3")) == [
        "ĠAnswer:",
        "Ġ4",
        "-3",
    ]
    for text in ("Ball under 3 Swaps: 4-3 5-4 3-1 3-2 =", "any äöü text\n\twith 42 things", END):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_this_version_of_the_recipe_makes_these_weights(tmp_path: Path) -> None:
    """If this fails, the recipe changed: raise EMBEDDED_RECIPE, and write down what it makes now.

    A directory under the old name would hold other bytes than those that are made anew.
    """
    config = small_config(tmp_path, policy="embedded", **TINY)
    checkpoint = make_policy(config, tmp_path / "policy")
    vocabulary = json.dumps(load_tokenizer(checkpoint).get_vocab(), sort_keys=True)
    weights = load_model(checkpoint).state_dict()
    names = ("lm_head.weight", "model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight")
    assert (
        (  # type: ignore[comparison-overlap]
            EMBEDDED_RECIPE,
            hashlib.sha256(vocabulary.encode()).hexdigest()[:16],
            [round(float(weights[name].double().sum()), 2) for name in names],
            sum(float(tensor.abs().double().sum()) for tensor in weights.values()),
        )
        == (2, "7082da085e48ad9c", [1.40, 1.63, -1.80], pytest.approx(4755.225, rel=1e-4))
    )


def test_another_recipe_is_another_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(tmp_path, policy="embedded", **TINY)
    before = policy_store(config, tmp_path).directory
    monkeypatch.setattr(init, "EMBEDDED_RECIPE", EMBEDDED_RECIPE + 1)
    assert policy_store(config, tmp_path).directory != before


def test_warm_up_rises_for_50_steps_and_falls_to_a_tenth() -> None:
    config = small_config(Path("runs"), policy="embedded").policy.embedded.warm_up
    found = [learning_rate_factor(step, config) for step in (0, 24, 49, 50, 250, 450)]
    assert found == pytest.approx([0.02, 0.5, 1.0, 1.0, 0.55, 0.1])


def test_the_embedded_policy_answers_the_questions_of_its_worlds_alone(tmp_path: Path) -> None:
    other = {"task__name": "reasoning_gym", "task__family": "chain_sum"}
    config = small_config(tmp_path, policy="embedded", **other)
    with pytest.raises(ConfigError, match="only task=cups, dial, count; name"):
        make_policy(config, tmp_path / "policy")


def test_a_given_checkpoint_is_used_where_it_lies(
    config: ExperimentConfig, random_policy: Path
) -> None:
    assert make_policy(config, config.directory / "policy") == random_policy
    assert not (config.directory / "policy").exists()


def test_a_source_that_is_neither_a_directory_nor_a_model_is_said(tmp_path: Path) -> None:
    config = small_config(tmp_path, policy="no/such/model/anywhere")
    with pytest.raises(InputError, match=r"policy\.source=no/such/model/anywhere is neither"):
        make_policy(config, tmp_path / "policy")


def test_the_worked_answer_is_what_the_warm_up_teaches(tmp_path: Path) -> None:
    """The measure of `init` counts exactly the working that `cups` writes."""
    from asymreinforce.stages.init import measure_warmth

    config = small_config(tmp_path, policy="embedded", **TINY)
    checkpoint = make_policy(config, tmp_path / "policy")
    found = measure_warmth(checkpoint, config.task, config.policy, config.engine)
    assert found.samples == 8 and 0 <= found.accuracy < 0.5  # four steps teach little
    assert cups.SWAPS == 4
    shutil.rmtree(tmp_path / "policy")
