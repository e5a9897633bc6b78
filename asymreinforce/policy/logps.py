"""Log-probabilities of completions under a Hugging Face causal language model.

    log pi(y|x) = sum_t log pi(y_t | x, y_<t)      end-of-sequence included, prompt excluded

Shapes: R rows of T tokens, B sequences, C completion tokens of all of them laid end to end, V
vocabulary, D the model's width.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from asymreinforce.errors import ConfigError
from asymreinforce.policy.layout import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def token_logits(model: "PreTrainedModel", batch: Batch) -> Tensor:
    """Return logits_CV at the positions that predict completion tokens, and no others.

    In fp32, or in the model's own precision where that is higher.
    """
    hidden_RTD = model.base_model(
        input_ids=batch.input_ids_RT,
        position_ids=batch.positions_RT,
        attention_mask=batch.mask_R1TT,
        use_cache=False,
    ).last_hidden_state
    hidden_CD = hidden_RTD.flatten(0, 1)[batch.predictors_C]
    logits_CV: Tensor = model.get_output_embeddings()(hidden_CD)
    return logits_CV.to(torch.promote_types(logits_CV.dtype, torch.float32))


@torch.no_grad()
def require_plain_head(model: "PreTrainedModel") -> None:
    """Raise `ConfigError` for a model whose logits are more than its head applied to hidden states.

    Some architectures scale or cap them afterwards, which `token_logits` does not do.
    """
    was_training = model.training
    model.eval()
    ids_RT = torch.arange(8, device=model.device)[None] % int(model.config.vocab_size)
    hidden_RTD = model.base_model(input_ids=ids_RT, use_cache=False).last_hidden_state
    own_RTV = model.get_output_embeddings()(hidden_RTD)
    full_RTV = model(input_ids=ids_RT, use_cache=False).logits
    model.train(was_training)
    if not torch.allclose(own_RTV.float(), full_RTV.float(), rtol=1e-3, atol=1e-5):
        raise ConfigError(
            f"{type(model).__name__} changes its logits behind the head (a scale or a soft cap), "
            "which training does not reproduce; use another model"
        )


def token_logps(model: "PreTrainedModel", batch: Batch) -> Tensor:
    """Return log pi(y_t | x, y_<t) of every completion token, shape C, in fp32."""
    return -F.cross_entropy(token_logits(model, batch), batch.targets_C, reduction="none")


def sequence_sums(values_C: Tensor, batch: Batch) -> Tensor:
    """Sum a value of each completion token over its sequence, shape B, rows end to end."""
    sums_B = values_C.new_zeros(int(batch.sequence_of_C[-1]) + 1)
    return sums_B.index_add_(0, batch.sequence_of_C, values_C)


def token_entropies(logits_CV: Tensor) -> Tensor:
    """H_t = -sum_v pi_v log pi_v at each position, in nats, shape C."""
    logps_CV = logits_CV.log_softmax(-1)
    return -(logps_CV.exp() * logps_CV).sum(-1)
