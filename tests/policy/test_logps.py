"""Which models the trainer's own use of the head is right for."""

from pathlib import Path

import pytest
from transformers import CohereConfig, CohereForCausalLM

from asymreinforce.errors import ConfigError
from asymreinforce.policy.checkpoint import load_model
from asymreinforce.policy.logps import require_plain_head


def test_a_model_whose_logits_are_its_heads_is_taken(random_policy: Path) -> None:
    model = load_model(random_policy).train()
    require_plain_head(model)
    assert model.training


def test_a_model_that_scales_its_logits_behind_the_head_is_refused() -> None:
    model = CohereForCausalLM(
        CohereConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            logit_scale=0.0625,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    with pytest.raises(ConfigError, match="CohereForCausalLM changes its logits behind the head"):
        require_plain_head(model)
