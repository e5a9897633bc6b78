"""Read a model's configuration: vocabulary, context, end tokens, the shape of its layers.

A multimodal checkpoint nests the settings of its language model (`text_config`). transformers'
`get_text_config` finds them, and fills in defaults that a `config.json` leaves out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GENERATION = "generation_config.json"
TEXT_PARTS = ("text_config", "decoder", "generator")
"""Keys under which `get_text_config` looks for a language model."""


class Decoder(NamedTuple):
    """The sizes of a decoder's layers; the largest size if layers differ."""

    layers: int
    width: int
    intermediate: int
    heads: int
    kv_heads: int
    head_width: int

    @property
    def cached_numbers(self) -> int:
        """Numbers that the key/value cache holds for each token."""
        return 2 * self.layers * self.kv_heads * self.head_width


class ModelConfig(NamedTuple):
    """Values of a configuration; None if the configuration does not state a value."""

    vocabulary: int | None
    context: int | None
    """The model's limit of positions, in tokens."""
    decoder: Decoder | None
    steady: int | None = None
    """Input length in tokens up to which positions are encoded alike; None: for any length."""


def of_model(model: "PreTrainedModel") -> ModelConfig:
    """Read the configuration of a model in memory."""
    return _read_config(model.config)


def vocabulary_of(model: "PreTrainedModel") -> int:
    """Return a model's vocabulary size, or the number of its embeddings if it states none."""
    embedding: Any = model.get_input_embeddings()
    return of_model(model).vocabulary or int(embedding.weight.shape[0])


def of_checkpoint(checkpoint: Path) -> ModelConfig:
    """Read a checkpoint's `config.json`, without running code of the checkpoint.

    Raises `InputError` if transformers refuses the values of an architecture that it knows.
    """
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path = checkpoint / "config.json"
    values = read_object(path)
    config_class: Any = PreTrainedConfig
    if (kind := values.get("model_type")) in CONFIG_MAPPING:
        config_class = CONFIG_MAPPING[kind]
    try:
        return _read_config(config_class.from_dict(values))
    except Exception as error:  # transformers raises many kinds for a bad value
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: transformers does not take it ({type(error).__name__}: {reason}); check "
            "that it is the config.json of a whole Hugging Face checkpoint"
        ) from error


def declared_end_tokens(
    checkpoint: Path, *, names: Sequence[str] = (GENERATION, "config.json")
) -> list[int]:
    """Return the end tokens that `generation_config.json` and then `config.json` name.

    Raises `InputError` if a declared end token is no token id.
    """
    # read from the files: a class's default would end a Llama that names no end token by token 2
    tokens: list[int] = []
    for name in names:
        if (checkpoint / name).exists():
            values = read_object(checkpoint / name)
            for part in (values, text_part(values)):
                tokens += _end_tokens(part.get("eos_token_id"), where=checkpoint / name)
    return list(dict.fromkeys(tokens))


def _end_tokens(declared: Any, *, where: Path) -> list[int]:
    if declared is None:
        return []
    tokens = declared if isinstance(declared, list) else [declared]
    if not all(type(token) is int and token >= 0 for token in tokens):
        raise InputError(
            f"{where}: eos_token_id is {str(declared)[:60]}, not a token id or a list of them; "
            "correct it there"
        )
    return tokens


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file of a checkpoint; `InputError` if it holds no JSON object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(
            f"{path}: not readable as JSON ({error}); restore it from the checkpoint's source"
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no JSON object; restore it from the checkpoint's source")
    return values


def text_part(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the language model in a `config.json`: a nested part, or all of it."""
    nested = (values.get(name) for name in TEXT_PARTS)
    return next((part for part in nested if isinstance(part, Mapping)), values)


def _read_config(config: Any) -> ModelConfig:
    from transformers import PreTrainedConfig

    text = config.get_text_config(decoder=True)
    if isinstance(text, dict):  # transformers does not know the architecture
        text = PreTrainedConfig.from_dict(text)
    return ModelConfig(
        _read_size(text, "vocab_size"),
        _read_size(text, "max_position_embeddings"),
        _read_decoder(text),
        _steady_length(text),
    )


def _steady_length(text: Any) -> int | None:
    """Return the input length above which the rotary encoding of all positions changes.

    Above this length `dynamic` computes new frequencies, and `longrope` uses a second set.
    """
    rope = getattr(text, "rope_parameters", None)
    kinds = (
        [rope, *rope.values()] if isinstance(rope, Mapping) else []
    )  # one, or one a kind of layer
    lengths = []
    for kind in kinds:
        name = str(kind.get("rope_type")) if isinstance(kind, Mapping) else ""
        if name == "longrope":
            lengths.append(kind.get("original_max_position_embeddings"))
        if "dynamic" in name:
            lengths.append(_read_size(text, "max_position_embeddings"))
    return min((int(length) for length in lengths if length), default=None)


def _read_decoder(text: Any) -> Decoder | None:
    layers, width, heads = (
        _read_size(text, name)
        for name in ("num_hidden_layers", "hidden_size", "num_attention_heads")
    )
    if not (layers and width and heads):
        return None
    return Decoder(
        layers=layers,
        width=width,
        intermediate=_read_size(text, "intermediate_size") or 4 * width,
        heads=heads,
        kv_heads=_read_size(text, "num_key_value_heads") or heads,
        head_width=_read_size(text, "head_dim") or width // heads,
    )


def _read_size(text: Any, name: str) -> int | None:
    value = getattr(text, name, None)
    if isinstance(value, list | tuple):
        value = max(value, default=None)
    return int(value) if value else None
