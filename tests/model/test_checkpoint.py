"""Checkpoints: named by their contents, and refused with a message where they are broken."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from asymreinforce.errors import InputError
from asymreinforce.model.checkpoint import (
    context_of,
    end_tokens,
    load_model,
    load_tokenizer,
    save_model,
)
from asymreinforce.model.fingerprint import checkpoint_fingerprint, tokenizer_fingerprint
from tests.fixtures.checkpoints import write_random_policy


@pytest.fixture
def copy(random_policy: Path, tmp_path: Path) -> Path:
    """A checkpoint of its own to break."""
    return Path(shutil.copytree(random_policy, tmp_path / "copy"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_equal_contents_have_equal_fingerprints_wherever_they_lie(
    random_policy: Path, copy: Path
) -> None:
    assert checkpoint_fingerprint(copy) == checkpoint_fingerprint(random_policy)
    assert tokenizer_fingerprint(copy) == tokenizer_fingerprint(random_policy)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_one_changed_byte_changes_the_fingerprint(copy: Path, name: str) -> None:
    before = checkpoint_fingerprint(copy)
    content = bytearray((copy / name).read_bytes())
    content[-20] ^= 1
    (copy / name).write_bytes(content)
    assert checkpoint_fingerprint(copy) != before


def test_end_tokens_that_generation_config_alone_declares_change_the_fingerprint(
    copy: Path,
) -> None:
    before = checkpoint_fingerprint(copy)
    path = copy / "generation_config.json"
    (end,) = end_tokens(copy)
    path.write_text(json.dumps({"eos_token_id": [end], "temperature": 0.5}))
    assert (
        checkpoint_fingerprint(copy) == before
    )  # engines take end tokens from it, and nothing else
    path.write_text(json.dumps({"eos_token_id": [end, 7]}))
    assert end_tokens(copy) == (end, 7)
    assert checkpoint_fingerprint(copy) != before
    path.unlink()
    assert checkpoint_fingerprint(copy) == before


@pytest.mark.parametrize("name", ["vocab.txt", "spiece.model", "tekken.json", "chat_template.json"])
def test_every_file_of_a_tokenizer_counts(copy: Path, name: str) -> None:
    before = checkpoint_fingerprint(copy), tokenizer_fingerprint(copy)
    (copy / name).write_text("{}")
    assert checkpoint_fingerprint(copy) != before[0]
    assert tokenizer_fingerprint(copy) != before[1]


def test_a_touched_file_of_equal_contents_keeps_the_fingerprint(copy: Path) -> None:
    before = checkpoint_fingerprint(copy)
    os.utime(copy / "model.safetensors", ns=(1, 1))
    assert checkpoint_fingerprint(copy) == before


def test_other_weights_have_another_fingerprint_and_the_same_tokenizer(
    random_policy: Path, tmp_path: Path
) -> None:
    other = write_random_policy(tmp_path / "other", seed=1)
    assert checkpoint_fingerprint(other) != checkpoint_fingerprint(random_policy)
    assert tokenizer_fingerprint(other) == tokenizer_fingerprint(random_policy)


def test_saved_weights_load_bit_for_bit_with_the_tokenizer_beside_them(
    random_policy: Path, tmp_path: Path
) -> None:
    model = load_model(random_policy)
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 3] = 0.1234567
    save_model(model, tmp_path / "saved", tokenizer_from=random_policy)
    loaded = load_model(tmp_path / "saved").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
    assert checkpoint_fingerprint(tmp_path / "saved") != checkpoint_fingerprint(random_policy)
    assert tokenizer_fingerprint(tmp_path / "saved") == tokenizer_fingerprint(random_policy)
    assert end_tokens(tmp_path / "saved") == end_tokens(random_policy)


def test_weights_load_in_the_dtype_that_is_asked_for(random_policy: Path, tmp_path: Path) -> None:
    half = write_random_policy(tmp_path / "half", seed=0, dtype="bfloat16")
    assert load_model(half).dtype == torch.bfloat16
    assert load_model(half, dtype=torch.float32).dtype == torch.float32


def test_truncated_weights_are_said_not_to_load(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"{copy}: the model does not load.*whole Hugging Face"):
        load_model(copy)


def test_a_directory_without_config_is_no_checkpoint(copy: Path) -> None:
    (copy / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json\); run 'asymrl init'"):
        checkpoint_fingerprint(copy)
    with pytest.raises(InputError, match=rf"{copy}: the model does not load"):
        load_model(copy)


def test_a_directory_that_is_not_there_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint there"):
        checkpoint_fingerprint(tmp_path / "absent")


@pytest.mark.parametrize("below", ["step-3", "checkpoints/step-3", "train/0ab1/checkpoints/step-3"])
def test_a_directory_above_a_checkpoint_is_answered_with_its_path(
    copy: Path, tmp_path: Path, below: str
) -> None:
    above = tmp_path / "above"
    inside = Path(shutil.copytree(copy, above / below))
    with pytest.raises(InputError, match=rf"no checkpoint there.*there is one at {inside}$"):
        checkpoint_fingerprint(above)
    (above / "config.json").write_text("{}")  # an arm has one of its own
    with pytest.raises(InputError, match=rf"no safetensors weights; there is one at {inside}$"):
        checkpoint_fingerprint(above)


def test_pickled_weights_are_not_read(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({"lm_head.weight": torch.zeros(1)}, copy / "pytorch_model.bin")
    with pytest.raises(InputError, match="no safetensors weights"):
        checkpoint_fingerprint(copy)
    with pytest.raises(InputError, match="the model does not load"):
        load_model(copy)


def test_a_missing_tokenizer_is_said(copy: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(InputError, match=rf"{copy}: .*tokenizer"):
        load_tokenizer(copy)


def test_a_tokenizer_without_an_end_is_refused(copy: Path) -> None:
    edit(copy / "tokenizer_config.json", eos_token=None)
    with pytest.raises(InputError, match="has no end-of-sequence token"):
        load_tokenizer(copy)


def test_completions_end_by_the_tokenizer_s_token_and_by_those_the_model_declares(
    copy: Path,
) -> None:
    own = load_tokenizer(copy).eos_token_id
    assert end_tokens(copy) == (own,)
    edit(copy / "generation_config.json", eos_token_id=[own, 17])
    assert end_tokens(copy) == (own, 17)
    edit(copy / "config.json", eos_token_id=23)
    assert end_tokens(copy) == (own, 17, 23)


def test_two_checkpoints_of_one_vocabulary_may_end_by_different_tokens(
    random_policy: Path, copy: Path
) -> None:
    assert end_tokens(random_policy)[0] == 0
    tokenizer = load_tokenizer(copy)
    edit(copy / "tokenizer_config.json", eos_token=tokenizer.convert_ids_to_tokens(9))
    assert end_tokens(copy)[0] == 9


def test_the_context_is_the_model_s_own_limit_of_positions(copy: Path) -> None:
    assert context_of(copy) == 64
    alibi = '{"model_type": "bloom", "hidden_size": 64}'  # its positions have no limit
    (copy / "config.json").write_text(alibi)
    assert context_of(copy) is None


def test_pickled_weights_are_read_where_that_is_asked_for(copy: Path) -> None:
    before = load_model(copy).state_dict()
    (copy / "model.safetensors").unlink()
    torch.save(before, copy / "pytorch_model.bin")
    assert len(checkpoint_fingerprint(copy, safetensors_only=False)) == 16
    after = load_model(copy, safetensors_only=False).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    with pytest.raises(InputError, match=r"policy\.safetensors_only=false reads its pickled ones"):
        checkpoint_fingerprint(copy)


OWN_TOKENIZER = """
from transformers import PreTrainedTokenizerFast

class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


def test_code_that_comes_with_a_tokenizer_runs_only_where_it_is_trusted(
    copy: Path, random_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    before = checkpoint_fingerprint(copy)
    (copy / "own_tokenizer.py").write_text(OWN_TOKENIZER)
    own = {"AutoTokenizer": [None, "own_tokenizer.OwnTokenizer"]}
    edit(copy / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=own)
    assert checkpoint_fingerprint(copy) != before
    with pytest.raises(InputError, match="the tokenizer does not load"):
        end_tokens(copy)
    assert type(load_tokenizer(copy, trust_remote_code=True)).__name__ == "OwnTokenizer"
    assert end_tokens(copy, trust_remote_code=True) == end_tokens(random_policy)
    save_model(load_model(copy), tmp_path / "saved", tokenizer_from=copy)
    assert (tmp_path / "saved/own_tokenizer.py").read_text() == OWN_TOKENIZER
