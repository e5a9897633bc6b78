"""Check that a checkpoint is whole: exactly the weights of its model, in their shapes.

transformers initialises missing weights at random and ignores unknown weights. It says so only in a
loading report, without tied weights and weights that the class ignores on purpose. Here the report
becomes an error. For checkpoints that another library loads, a report is made from the files'
headers.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymreinforce.errors import InputError
from asymreinforce.model import model_config

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

SHOWN = 3
"""Number of names that an error shows of each kind."""

FLOATS = {"F64", "F32", "F16", "BF16"}
"""Dtypes of weights that need no scale."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of weight files, or with .index.json of shards, in the order of transformers' search."""


def require_whole(checkpoint: Path | str, report: Mapping[str, Any]) -> None:
    """Raise `InputError` if a loading report names a missing, unknown or misshapen weight.

    `report`: the second result of `from_pretrained(output_loading_info=True)`.
    """
    mismatched = [
        f"{name} {tuple(stored)}, not {tuple(wanted)}"
        for name, stored, wanted in report["mismatched_keys"]
    ]
    faults = {
        "missing": report["missing_keys"],
        "unknown to the model": report["unexpected_keys"],
        "of another shape": mismatched,
        "not read": report["error_msgs"],
    }
    said = [f"{_few_of(names)} {fault}" for fault, names in faults.items() if names]
    if said:
        raise InputError(
            f"{checkpoint}: its weights are not those of its config.json: {'; '.join(said)}; "
            "restore weights and config of one model (a model that was compiled or wrapped is "
            "saved under the names of the plain one)"
        )


def require_no_adapters(checkpoint: Path) -> None:
    """Raise `InputError` if a checkpoint holds adapters."""
    # transformers loads their base model too, whose files are in no fingerprint
    if (checkpoint / "adapter_config.json").exists():
        raise InputError(
            f"{checkpoint}: holds adapters (adapter_config.json), which transformers loads onto "
            "the base that they name; merge them into it ('merge_and_unload' of peft), and save "
            "the whole model, or remove the file if the weights beside it are whole"
        )


def require_one_set(checkpoint: Path | str) -> None:
    """Raise `InputError` if a checkpoint holds its weights both in one file and in shards."""
    # transformers reads the file, vLLM the shards
    name = WEIGHTS[0]
    if all((Path(checkpoint) / one).exists() for one in (name, f"{name}.index.json")):
        raise InputError(
            f"{checkpoint}: holds weights twice, in {name} and in shards ({name}.index.json); "
            "libraries differ in which they read, remove one of them"
        )


def require_plain_numbers(checkpoint: Path | str) -> None:
    """Raise `InputError` if weights have a dtype that needs a scale, and no scale is declared.

    Only the headers of the files are read.
    """
    from safetensors import safe_open

    # transformers would use the bare integers or 8-bit floats as weights
    directory = Path(checkpoint)
    config = directory / "config.json"
    if not config.exists() or model_config.read_object(config).get("quantization_config"):
        return
    for path in _weight_files(directory):
        if path.suffix != ".safetensors":
            continue
        with safe_open(path, "pt") as stored:
            types = {n: stored.get_slice(n).get_dtype() for n in stored.keys()}  # noqa: SIM118
        # buffers, such as masks and positions, may be of any type
        packed = [n for n, type_ in types.items() if type_ not in FLOATS and n.endswith(".weight")]
        if packed:
            raise InputError(
                f"{path}: holds {_few_of(packed)} as {types[packed[0]]}, and config.json has no "
                "quantization_config that says how they become numbers; restore it, or use the "
                "model in bfloat16"
            )


def require_tied(checkpoint: Path | str, model: "PreTrainedModel") -> None:
    """Raise `InputError` if two weights of a loaded model differ that its config ties."""
    # transformers unties them without an error, vLLM drops one of them
    tied: dict[str, str] = model.get_expanded_tied_weights_keys(all_submodels=True)
    apart = [
        (name, other)
        for name, other in tied.items()
        if model.get_parameter(name) is not model.get_parameter(other)
    ]
    _refuse_apart(checkpoint, apart)


def require_whole_files(checkpoint: Path, empty: "PreTrainedModel") -> None:
    """Raise `InputError` if the files of a checkpoint do not hold the weights of its model.

    `empty` is the model on the meta device. Only headers are read, and the tensors of tied pairs
    that are stored twice.
    """
    import torch

    stored: dict[str, Tensor] = {}
    origin: dict[str, Path] = {}
    require_one_set(checkpoint)
    for path in _weight_files(checkpoint):
        headers = _read_headers(path)
        stored |= headers
        origin |= dict.fromkeys(headers, path)
    model_class: Any = type(empty)
    _, report = model_class.from_pretrained(
        None,
        config=empty.config,
        state_dict=dict(stored),
        device_map={"": "meta"},
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    require_whole(checkpoint, report)
    tied: dict[str, str] = empty.get_expanded_tied_weights_keys(all_submodels=True)
    apart = [
        pair
        for pair in tied.items()
        if set(pair) <= stored.keys()
        and not torch.equal(*(_read_tensor(origin[name], name) for name in pair))
    ]
    _refuse_apart(checkpoint, apart)


def require_same(
    what: Path | str, given: Mapping[str, "Tensor"], wanted: Mapping[str, "Tensor"]
) -> None:
    """Raise `InputError` if `given` tensors do not have the names and shapes of `wanted` ones."""
    common = given.keys() & wanted.keys()
    require_whole(
        what,
        {
            "missing_keys": wanted.keys() - given.keys(),
            "unexpected_keys": given.keys() - wanted.keys(),
            "mismatched_keys": [
                (name, given[name].shape, wanted[name].shape)
                for name in common
                if given[name].shape != wanted[name].shape
            ],
            "error_msgs": [],
        },
    )


def _refuse_apart(checkpoint: Path | str, apart: list[tuple[str, str]]) -> None:
    if apart:
        raise InputError(
            f"{checkpoint}: its config.json ties {' to '.join(apart[0])}, but its weights hold two "
            "different ones; set tie_word_embeddings=false in it, if both are meant, or drop one"
        )


def _few_of(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _weight_files(checkpoint: Path) -> list[Path]:
    """Return the files from which transformers reads the weights of a checkpoint."""
    for name in WEIGHTS:
        if (checkpoint / name).exists():
            return [checkpoint / name]
        if (index := checkpoint / f"{name}.index.json").exists():
            return [checkpoint / shard for shard in _listed_shards(index)]
    raise InputError(f"{checkpoint}: holds no weights ({', '.join(WEIGHTS)}, or an index of them)")


def _listed_shards(index: Path) -> list[str]:
    """Return the names of the files that an index lists.

    Raises `InputError` if the file is no index, or lists files that are missing or outside its
    directory.
    """
    listed = model_config.read_object(index).get("weight_map")
    names = list(listed.values()) if isinstance(listed, dict) else []
    if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise InputError(
            f"{index}: lists no files of this directory under weight_map; restore it from the "
            "checkpoint's source"
        )
    shards = sorted(set(names))
    if absent := [name for name in shards if not (index.parent / name).exists()]:
        raise InputError(
            f"{index.parent}: lacks {_few_of(absent)}, which {index.name} lists; bring the rest of "
            "the checkpoint"
        )
    return shards


def _read_headers(path: Path) -> dict[str, "Tensor"]:
    """Return a file's tensors by name, on the meta device, with shapes only."""
    import torch
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        pickled: dict[str, Tensor] = torch.load(
            path, map_location="meta", weights_only=True, mmap=True
        )
        return pickled
    with safe_open(path, "pt") as stored:
        return {
            name: torch.empty(stored.get_slice(name).get_shape(), device="meta")
            for name in stored.keys()  # noqa: SIM118 - the file is no mapping
        }


def _read_tensor(path: Path, name: str) -> "Tensor":
    import torch
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        pickled: Tensor = torch.load(path, weights_only=True, mmap=True)[name]
        return pickled
    with safe_open(path, "pt") as stored:
        tensor: Tensor = stored.get_tensor(name)
        return tensor
