"""Log-probabilities of completions under a Hugging Face causal language model, a row at a time.

    log pi(y|x) = sum_t log pi(y_t | x, y_<t)      end-of-sequence included, prompt excluded

The model's body computes a packed row; of its hidden states those that predict completion tokens
go on to the head, and no others.

Shapes: T tokens of a row, C completion tokens of it laid end to end, B sequences of it, D width.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from asymreinforce.errors import AsymreinforceError, ConfigError
from asymreinforce.policy import attention
from asymreinforce.policy.embedding import embedded
from asymreinforce.policy.head import Head, Loss, Scores, Scratch, linear_loss, token_logps
from asymreinforce.policy.memory import uncompiled_without_gradient
from asymreinforce.policy.model_config import of_model, vocabulary_of
from asymreinforce.policy.packing import Row, Sequences, on_device, pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Gradient(NamedTuple):
    """A row's loss with the head's gradient made already; `finish` takes it through the body."""

    hidden_CD: Tensor
    made: Loss

    def finish(self) -> None:
        """Go backward from the hidden states; to be called inside `packed_attention`."""
        self.hidden_CD.backward(self.made.by_hidden_CD)  # type: ignore[no-untyped-call]


class Scorer(nn.Module):
    """A model's body and head on packed rows.

    `autocast` computes in bf16 over the weights as they are. `device` is where they will be, if
    they are not there yet. Models that take turns can share their `scratch`. What is called twice
    from outside, body and head, is one `forward`, so that a wrapper (sharding, compilation) sees
    all of it.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        attention_name: attention.Name = "auto",
        autocast: bool = False,
        device: torch.device | None = None,
        scratch: Scratch | None = None,
    ):
        super().__init__()
        self.model = model
        self.precision = torch.bfloat16 if autocast else model.dtype
        self._autocast = autocast
        self._scratch = scratch or Scratch()
        decoder = of_model(model).decoder
        self._way = attention.choose(
            attention_name,
            device or model.device,
            self.precision,
            head_width=decoder.head_width if decoder else None,
        )

    def forward(
        self, row: Row, coefficients_C: Tensor | None = None, *, entropy: bool = False
    ) -> Gradient | Scores:
        """Score a row's completion tokens; with their coefficients, make the loss's gradient."""
        device = self.model.device
        plan, row = attention.plan(self._way, row, device), row.to(device)
        with (
            uncompiled_without_gradient(),
            torch.autocast(device.type, torch.bfloat16, enabled=self._autocast),
        ):
            body: Any = self.model.base_model
            hidden_TD: Tensor = body(
                **embedded(self.model, row.input_ids_T),
                position_ids=row.positions_T[None],
                use_cache=False,
                packing=plan,
            ).last_hidden_state[0]
        hidden_CD = hidden_TD.index_select(0, row.predictors_C).to(self.precision)
        head = Head.of(self.model, self._scratch)
        if coefficients_C is None:
            return token_logps(head, hidden_CD, row.targets_C, entropy=entropy)
        made = linear_loss(head, hidden_CD, row.targets_C, on_device(coefficients_C, device))
        return Gradient(hidden_CD, made)

    def free(self) -> None:
        """Give back the memory of the head's logits; the next call takes it anew."""
        self._scratch.free()

    def scores(self, row: Row, *, entropy: bool = False) -> Scores:
        """Return log pi of each completion token of a row, with gradient where that is on."""
        with attention.packed_attention(self.model):
            found = self(row, entropy=entropy)
        assert isinstance(found, Scores)
        return found


def sequence_sums(values_C: Tensor, row: Row) -> Tensor:
    """Sum a value of each completion token over its sequence, shape B, in the order of the row."""
    sums_B = values_C.new_zeros(len(row.members))
    return sums_B.index_add_(0, on_device(row.sequence_of_C, values_C.device), values_C)


@torch.no_grad()
def require_trainable(scorer: Scorer) -> None:
    """Raise `ConfigError` for a model that packed training does not reproduce.

    Some architectures scale or cap their logits behind the head, attend in a way of their own, or
    drop activations: two short completions of one prompt must have the log-probabilities that the
    model's own forward gives them.
    """
    model: Any = scorer.model
    ids = np.arange(10) % vocabulary_of(model)
    sequences = Sequences([ids[:4], ids[:4]], [ids[4:8], ids[6:9]])
    try:
        found_C = scorer.scores(next(pack(sequences, tokens=64))).logps_C
    except AsymreinforceError:
        raise
    except Exception as error:  # whatever a model's own code or a kernel raises
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"{type(model).__name__} does not run in packed training, which uses transformers' "
            f"attention interface ({type(error).__name__}: {reason}); use another model, or "
            "train.attention=sdpa if it is the attention kernel that complains"
        ) from error
    was_training = model.training
    model.eval()
    half = scorer.precision in (torch.bfloat16, torch.float16)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=half):
        expected_C = torch.cat([_own_logps(model, *pair) for pair in zip(*sequences, strict=True)])
        plain = _has_plain_head(model, ids)
    model.train(was_training)
    tolerance = 0.1 if half else 1e-3
    same = torch.allclose(found_C.float(), expected_C, rtol=tolerance, atol=tolerance)
    if not (plain and same):
        what = (
            "attends in a way of its own or drops activations"
            if plain
            else "scales or caps its logits"
        )
        raise ConfigError(
            f"{type(model).__name__} {what}, which packed training does not reproduce; "
            "use another model"
        )


def _own_logps(model: Any, prompt: np.ndarray, completion: np.ndarray) -> Tensor:
    """log pi of each completion token by the model's own forward, in fp32."""
    ids_1T = torch.from_numpy(np.concatenate([prompt, completion]))[None].to(model.device)
    logits_TV = model(input_ids=ids_1T, use_cache=False).logits[0, len(prompt) - 1 : -1]
    targets_T1 = torch.from_numpy(completion)[:, None].to(model.device)
    logps_T1: Tensor = logits_TV.float().log_softmax(-1).gather(1, targets_T1)
    return logps_T1[:, 0]


def _has_plain_head(model: Any, ids: np.ndarray) -> bool:
    """Tell whether large logits come out of the model as they left the head."""
    left: list[Tensor] = []

    def enlarge(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        left.append(output * (100 / output.abs().max()))
        return left[0]

    handle = model.get_output_embeddings().register_forward_hook(enlarge)
    try:
        ids_1T = torch.from_numpy(ids)[None].to(model.device)
        came_out = model(input_ids=ids_1T, use_cache=False).logits
    finally:
        handle.remove()
    return torch.allclose(came_out.float(), left[0].float(), rtol=1e-2)
