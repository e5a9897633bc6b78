"""Rotary positions that depend on the length of the input: refused if a row may pass it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PhimoeConfig,
)

from asymreinforce.errors import ConfigError
from asymreinforce.update.log_probs import Scorer
from asymreinforce.update.packing import Sequences, pack_rows
from asymreinforce.update.trainable import (
    require_trainable_checkpoint,
)
from tests.fixtures.experiments import small_config
from tests.fixtures.small_models import (
    EXPERTS,
    SMALL,
    model_of,
    own_logps,
)


def longrope(**more: float) -> dict[str, Any]:
    """A rotary encoding of two sets of frequencies; a config changes the one that it is given."""
    return {
        "rope_type": "longrope",
        "short_factor": [1.0, 1.0, 1.0, 1.0],
        "long_factor": [1.0, 2.0, 4.0, 8.0],
        "original_max_position_embeddings": 48,
        "rope_theta": 1e4,
        **more,
    }


DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
ROPES: dict[str, tuple[Any, int | None]] = {
    "longrope": (
        Phi3Config(**SMALL, rope_parameters=longrope(), original_max_position_embeddings=48),
        48,
    ),
    "longrope of experts": (
        PhimoeConfig(
            **SMALL, **EXPERTS, rope_parameters=longrope(short_mscale=1.0, long_mscale=1.2)
        ),
        48,
    ),
    "longrope of a kind of layer": (
        Gemma3TextConfig(
            **SMALL,
            rope_parameters={
                "full_attention": longrope(),
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        ),
        48,
    ),
    "dynamic": (LlamaConfig(**SMALL, rope_parameters={**DYNAMIC}), 128),
    "yarn": (LlamaConfig(**SMALL, rope_parameters={**YARN, "rope_theta": 1e4}), None),
    "linear": (LlamaConfig(**SMALL, rope_parameters={**DYNAMIC, "rope_type": "linear"}), None),
}


@pytest.mark.parametrize("name", ROPES)
def test_positions_that_the_length_of_the_input_changes_are_refused_where_it_may(
    name: str, tmp_path: Path
) -> None:
    config, steady = ROPES[name]
    config.save_pretrained(tmp_path)
    for context in (16, 48, 49, 128):
        settings = small_config(
            tmp_path,
            policy=tmp_path,
            policy__context=context,
            sampling__max_tokens=8,
            evaluation__sampling__max_tokens=8,
        )
        if steady is None or context <= steady:
            require_trainable_checkpoint(tmp_path, settings)
            continue
        with pytest.raises(ConfigError, match=rf"policy\.context to {steady} or less"):
            require_trainable_checkpoint(tmp_path, settings)


def test_a_short_sequence_beside_a_long_one_is_encoded_otherwise_beyond_the_steady_length() -> None:
    """Why they are refused: the same completion has another log-probability."""
    model = model_of(ROPES["longrope"][0]).eval()
    prompt, short, long = np.arange(1, 9), np.arange(20, 30), np.arange(40, 90)
    for others, is_same in ((short, True), (long, False)):
        (row,) = pack_rows(Sequences([prompt, prompt], [short, others]), tokens=256)
        with torch.no_grad():
            logps_C = Scorer(model).scores(row).logps_C
        found = float(logps_C[row.sequence_of_C == row.members.index(0)].sum())
        expected = own_logps(model, Sequences([prompt], [short]))[0]
        assert (abs(found - expected) < 1e-3) == is_same
