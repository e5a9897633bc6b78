"""Load and save checkpoints in the Hugging Face format; pickled weights only if allowed."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymreinforce.data import files
from asymreinforce.errors import InputError
from asymreinforce.model import adapters, model_config
from asymreinforce.model.chat_template import end_of_turn
from asymreinforce.model.fingerprint import TOKENIZER_FILES, tokenizer_fingerprint
from asymreinforce.model.whole import (
    require_no_adapters,
    require_one_set,
    require_plain_numbers,
    require_tied,
    require_whole,
    require_whole_files,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_END_TOKENS: dict[str, tuple[int, ...]] = {}
"""End tokens by tokenizer fingerprint: tokenizers load slowly, and a sweep's arms share one."""


@contextlib.contextmanager
def _readable_load_errors(checkpoint: Path | str, what: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # transformers and safetensors raise many kinds for a bad file
        message = " ".join(str(error).split())[:300]
        raise InputError(
            f"{checkpoint}: {what} does not load ({type(error).__name__}: {message}); "
            "check that it is a whole Hugging Face checkpoint with safetensors weights"
        ) from error


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and loading report; `whole.py` reads the report."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def load_model(
    checkpoint: Path | str,
    *,
    dtype: "torch.dtype | None" = None,
    trust_remote_code: bool = False,
    safetensors_only: bool = True,
    revision: str | None = None,
) -> "PreTrainedModel":
    """Load a causal language model; `InputError` if it does not load or is incomplete.

    Pickled weights, which may hold code, are read only if `safetensors_only` is false.
    """
    from transformers import AutoModelForCausalLM

    require_one_set(checkpoint)
    require_no_adapters(Path(checkpoint))
    with _readable_load_errors(checkpoint, "the model"), quiet_transformers():
        require_plain_numbers(checkpoint)
        model: PreTrainedModel
        model, report = AutoModelForCausalLM.from_pretrained(
            checkpoint,
            dtype=dtype or "auto",
            trust_remote_code=trust_remote_code,
            use_safetensors=True if safetensors_only else None,
            revision=revision,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that the report names them
        )
    require_whole(checkpoint, report)
    require_tied(checkpoint, model)
    return model


def require_whole_checkpoint(checkpoint: Path, *, trust_remote_code: bool = False) -> None:
    """Raise `InputError` if a checkpoint is incomplete; reads its config and its files' headers.

    For callers that leave the loading to another library.
    """
    require_no_adapters(checkpoint)
    # only the library that packed quantised weights knows their names
    if "quantization_config" in model_config.read_object(checkpoint / "config.json"):
        return
    empty = _meta_model(checkpoint, trust_remote_code=trust_remote_code)
    with _readable_load_errors(checkpoint, "the model"), quiet_transformers():
        require_plain_numbers(checkpoint)
        require_whole_files(checkpoint, empty)


def empty_model(
    checkpoint: Path | str, *, dtype: "torch.dtype", trust_remote_code: bool = False
) -> "PreTrainedModel":
    """Make a checkpoint's model with uninitialised weights, for ranks that receive the weights."""
    # the checks of `load_model`: a rank that passed would wait forever for a rank that refused
    require_whole_checkpoint(Path(checkpoint), trust_remote_code=trust_remote_code)
    model = _meta_model(checkpoint, dtype=dtype, trust_remote_code=trust_remote_code)
    model = model.to_empty(device="cpu")
    model.tie_weights()
    return model.eval()


def _meta_model(
    checkpoint: Path | str, *, dtype: "torch.dtype | None" = None, trust_remote_code: bool
) -> "PreTrainedModel":
    """Make a checkpoint's model on the meta device, where weights have shapes but no values."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with _readable_load_errors(checkpoint, "the model"), quiet_transformers(), torch.device("meta"):
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
        more = {} if dtype is None else {"dtype": dtype}
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, trust_remote_code=trust_remote_code, **more
        )
    return model


def load_tokenizer(
    checkpoint: Path | str, *, trust_remote_code: bool = False, revision: str | None = None
) -> "PreTrainedTokenizerBase":
    """Load a tokenizer; `InputError` if it does not load or has no end-of-sequence token."""
    from transformers import AutoTokenizer

    with _readable_load_errors(checkpoint, "the tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            checkpoint, trust_remote_code=trust_remote_code, revision=revision
        )
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{checkpoint}: its tokenizer has no end-of-sequence token; name the one that ends a "
            "completion as eos_token in its tokenizer_config.json"
        )
    return tokenizer


def save_model(
    model: "PreTrainedModel",
    directory: Path,
    *,
    tokenizer_from: Path,
    dtype: "torch.dtype | None" = None,
) -> None:
    """Write weights and config, and copy the tokenizer's files and `generation_config.json`.

    Weights are rounded to `dtype` if it is given. Adapters are merged into the weights, and also
    saved alone and unrounded in `adapter/`.
    """
    with quiet_transformers():
        weights = adapters.merged_weights(model) if adapters.is_attached(model) else None
        if dtype is not None:
            weights = _rounded_weights(weights or model.state_dict(), dtype)
        with _without_generation_config(model):
            model.save_pretrained(directory, state_dict=weights)
        if adapters.is_attached(model):
            adapters.save_adapter(model, directory / adapters.ADAPTER)
    if dtype is not None:
        _declare_dtype(directory / "config.json", dtype)
    code = [path.name for path in sorted(tokenizer_from.glob("*.py"))]
    (directory / model_config.GENERATION).unlink(missing_ok=True)  # transformers wrote an empty one
    for name in (*TOKENIZER_FILES, model_config.GENERATION, *code):
        if (tokenizer_from / name).exists():
            shutil.copyfile(tokenizer_from / name, directory / name)


@contextlib.contextmanager
def _without_generation_config(model: "PreTrainedModel") -> Iterator[None]:
    """Take a model's generation config away while it is saved."""
    from transformers import GenerationConfig

    # saving refuses some generation configs that loading accepted
    loaded_config = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = loaded_config


def _rounded_weights(
    weights: "dict[str, torch.Tensor]", dtype: "torch.dtype"
) -> "dict[str, torch.Tensor]":
    """Round weights one by one and move them to the host; tied weights stay one tensor."""
    rounded: dict[tuple[int, torch.Size], torch.Tensor] = {}
    by_name = {}
    for name, tensor in weights.items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in rounded:
            rounded[key] = tensor.to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        by_name[name] = rounded[key]
    return by_name


def _declare_dtype(config: Path, dtype: "torch.dtype") -> None:
    """Write the dtype of the rounded weights into `config.json`; engines load weights in it."""
    # transformers wrote the dtype of the model in memory
    declared: dict[str, Any] = files.read_json(config)
    for part in (declared, *declared.values()):
        if isinstance(part, dict) and "dtype" in part:
            part["dtype"] = str(dtype).removeprefix("torch.")
    config.write_text(json.dumps(declared, indent=2, sort_keys=True) + "\n")


def context_of(checkpoint: Path) -> int | None:
    """Return the model's limit of positions in tokens, None if its config states none."""
    return model_config.of_checkpoint(checkpoint).context


def end_tokens(checkpoint: Path, *, trust_remote_code: bool = False) -> tuple[int, ...]:
    """Return the token ids that end a completion.

    The ids are the tokenizer's end-of-sequence token, the end tokens that the model declares, and
    the token with which the chat template ends an assistant's turn.
    """
    key = tokenizer_fingerprint(checkpoint)
    if key not in _END_TOKENS:
        tokenizer: Any = load_tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        turn = end_of_turn(tokenizer)
        _END_TOKENS[key] = (int(tokenizer.eos_token_id), *([] if turn is None else [turn]))
    first, *turn_ends = _END_TOKENS[key]
    declared = model_config.declared_end_tokens(checkpoint)
    return tuple(dict.fromkeys([first, *declared, *turn_ends]))
