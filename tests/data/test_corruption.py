"""Bytes that are flipped or cut, in every file of a stage: found, named, and never used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asymreinforce.config import parse_config
from asymreinforce.data import contracts, files
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, InputError
from asymreinforce.model.checkpoint import load_model, load_tokenizer
from tests.fixtures.experiments import small_config
from tests.fixtures.scored_sets import write_scored_set

Damage = Callable[[bytes], bytes]
FUZZED = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Flip bits of a byte anywhere, overwrite a run, cut the end, or cut a piece out."""
    kind = draw(st.sampled_from(["flip", "overwrite", "cut", "excise"]))
    at = draw(st.floats(0, 1, exclude_max=True))
    mask, length = draw(st.integers(1, 255)), draw(st.integers(1, 64))

    def damage(content: bytes) -> bytes:
        place = int(at * len(content))
        if kind == "flip":
            return content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]
        if kind == "overwrite":
            kept = content[place + length :]
            return content[:place] + bytes([mask]) * (len(content) - place - len(kept)) + kept
        return content[:place] if kind == "cut" else content[:place] + content[place + length :]

    return damage


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three shards of rollouts, complete."""
    return write_scored_set(tmp_path_factory.mktemp("set"), prompts=24, samples=2)[0]


def facts_of(directory: Path) -> object:
    """All that a reader takes from a stage directory; what is damaged raises or is None."""
    store = Store.open(directory)
    shards = {
        name: contracts.read_table(store.path(name), contracts.ROLLOUTS).to_pylist()
        for name in store.planned
    }
    receipts = [store.receipt(name) for name in store.planned]
    found = [store.identity, store.planned, store.facts, shards, store.is_complete(), receipts]
    return json.dumps(found, sort_keys=True)


@pytest.mark.parametrize("part", ["plan.json", "manifest.json", "shard", "receipt"])
@FUZZED
@given(damage=damages())
def test_a_damaged_file_of_a_stage_is_never_silently_used(
    part: str, damage: Damage, rollouts: Store, tmp_path: Path
) -> None:
    before = facts_of(rollouts.directory)
    copy = tmp_path / "copy" / rollouts.hash
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(rollouts.directory, copy)
    name = {"shard": rollouts.planned[1], "receipt": f"{rollouts.planned[1]}.receipt"}
    path = copy / name.get(part, part)
    path.write_bytes(damage(path.read_bytes()))
    try:
        after = facts_of(copy)
    except InputError as error:
        assert str(copy / name.get("shard", "")) in str(error) or str(path) in str(error)
        return
    # white space of JSON may change; a manifest that is damaged is none, and is written anew
    assert after == before or not Store.open(copy).is_complete()


@FUZZED
@given(damage=damages())
def test_damaged_parquet_alone_is_refused_or_read_as_it_was(
    damage: Damage, rollouts: Store, tmp_path: Path
) -> None:
    """Pages carry checksums, and a footer that is damaged does not parse or is not the contract."""
    whole = contracts.read_table(rollouts.path(rollouts.planned[0]), contracts.ROLLOUTS)
    path = tmp_path / "damaged.parquet"
    path.write_bytes(damage(rollouts.path(rollouts.planned[0]).read_bytes()))
    try:
        found = contracts.read_table(path, contracts.ROLLOUTS)
    except InputError as error:
        assert str(path) in str(error)
        return
    assert found.equals(whole)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
@settings(FUZZED, max_examples=25)
@given(damage=damages())
def test_a_damaged_checkpoint_loads_or_is_named(
    name: str, damage: Damage, random_policy: Path, tmp_path: Path
) -> None:
    """Its fingerprint is another; where the library cannot read it, that is one message."""
    copy = tmp_path / "checkpoint"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(random_policy, copy)
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    try:
        load_tokenizer(copy) if name.startswith("tokenizer") else load_model(copy)
    except InputError as error:
        assert str(copy) in str(error)


@FUZZED
@given(damage=damages())
def test_a_damaged_configuration_is_parsed_or_named(
    damage: Damage, random_policy: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    files.publish_json(path, small_config(tmp_path, policy=random_policy).model_dump(mode="json"))
    path.write_bytes(damage(path.read_bytes()))
    try:
        parse_config(files.read_json(path))
    except AsymreinforceError as error:
        assert str(error)
