"""Publication: who may read what was published, and what a JSON file may hold."""

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from asymreinforce.data import files, sealed


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_weights_are_as_readable_as_the_receipts_beside_them(tmp_path: Path, umask: int) -> None:
    def write(path: Path) -> None:
        (path / "adapter").mkdir(parents=True)
        for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
            save_file({"weight": torch.zeros(3)}, path / name)
        (path / "config.json").write_text("{}")

    files.publish_path(tmp_path / "checkpoint", write)
    files.publish_json(tmp_path / "receipt", {"rows": 1})
    published = [path for path in (tmp_path / "checkpoint").rglob("*") if path.is_file()]
    assert len(published) == 3
    assert {mode_of(path) for path in published} == {0o666 & ~umask}
    assert mode_of(tmp_path / "receipt") == 0o666 & ~umask


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, float(np.float32("nan"))])
def test_a_number_that_is_not_finite_is_in_no_json_file(tmp_path: Path, number: float) -> None:
    for publish in (files.publish_json, sealed.publish_sealed):
        with pytest.raises(ValueError, match="not JSON compliant"):
            publish(tmp_path / "facts.json", {"mean": {"of": [1.0, number]}})
    assert list(tmp_path.iterdir()) == []


def test_a_json_file_is_read_by_a_strict_reader(tmp_path: Path) -> None:
    files.publish_json(tmp_path / "facts.json", {"b": 0.1, "a": None})
    text = (tmp_path / "facts.json").read_text()
    assert text == '{\n  "a": null,\n  "b": 0.1\n}\n'
    assert json.loads(text) == {"a": None, "b": 0.1}
