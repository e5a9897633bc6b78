"""Fingerprints of checkpoints and tokenizers, from the contents of their files."""

import hashlib
from pathlib import Path

from asymreinforce.data import checksums, files
from asymreinforce.errors import InputError
from asymreinforce.model import model_config
from asymreinforce.model.whole import require_no_adapters

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "added_tokens.json",
    "chat_template.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
WEIGHT_SUFFIXES = (".safetensors", ".safetensors.index.json")
CHECKPOINTS_BELOW = ("*", "checkpoints/*", "train/*/checkpoints/*")
"""Where a checkpoint may lie below an output directory, an arm, and an experiment."""
PICKLED_SUFFIXES = (".bin", ".bin.index.json")


def checkpoint_fingerprint(
    checkpoint: Path, *, safetensors_only: bool = True, read: bool = False
) -> str:
    """Return the fingerprint of a checkpoint's config, weights and tokenizer (16 hex digits).

    Files are read only if one changed since the fingerprint was remembered; with `read`, also if
    this process has not read them yet. Raises `InputError` if there is no checkpoint, or if only
    pickled weights are there and `safetensors_only`.
    """
    named_files = _fingerprinted_files(checkpoint, safetensors_only=safetensors_only)

    def hash_files() -> str:
        sums = [(path.name, files.sha256(path)) for path in named_files]
        # end tokens that only generation_config.json declares end completions too
        if further := _further_end_tokens(checkpoint):
            sums.append(("end tokens", repr(further)))
        return hashlib.sha256(repr(sums).encode()).hexdigest()[:16]

    generation = checkpoint / model_config.GENERATION
    stamped_files = [*named_files, *([generation] if generation.exists() else [])]
    return checksums.remembered_checksum(
        "fingerprint", checkpoint, stamped_files, hash_files, read=read
    )


def _further_end_tokens(checkpoint: Path) -> list[int]:
    """Return the end tokens that a checkpoint declares outside its `config.json`."""
    try:
        in_config = model_config.declared_end_tokens(checkpoint, names=("config.json",))
        declared = model_config.declared_end_tokens(checkpoint)
    except InputError:  # a broken file is reported when the checkpoint is loaded
        return []
    return sorted({*declared} - {*in_config})


def require_unchanged(checkpoint: Path, *, named: str, safetensors_only: bool = True) -> None:
    """Raise `InputError` if a checkpoint's fingerprint is not `named`, before it is loaded."""
    # the fingerprint in an identity may be a remembered one, and the files damaged since
    if checkpoint_fingerprint(checkpoint, safetensors_only=safetensors_only, read=True) != named:
        raise InputError(
            f"{checkpoint}: damaged (its bytes are not those that it was named by, {named}); "
            "restore it, or run the same command again to redo all results that depend on it"
        )


def tokenizer_fingerprint(checkpoint: Path) -> str:
    """Return the fingerprint of a tokenizer's files: vocabulary, merges, special tokens."""
    digest = hashlib.sha256()
    for name in TOKENIZER_FILES:
        if (checkpoint / name).exists():
            digest.update(f"{name} {files.sha256(checkpoint / name)}\n".encode())
    return digest.hexdigest()[:16]


def _fingerprinted_files(checkpoint: Path, *, safetensors_only: bool) -> list[Path]:
    if not (checkpoint / "config.json").exists():
        advice = _checkpoint_below(checkpoint) or (
            "run 'asymrl init', or set policy.source to a Hugging Face checkpoint"
        )
        raise InputError(f"{checkpoint}: no checkpoint there (it has no config.json); {advice}")
    require_no_adapters(checkpoint)
    names = sorted(path.name for path in checkpoint.iterdir())
    weights = [name for name in names if name.endswith(WEIGHT_SUFFIXES)]
    pickled = [name for name in names if name.endswith(PICKLED_SUFFIXES)]
    if not weights and safetensors_only:
        advice = "policy.safetensors_only=false reads its pickled ones, which may run code"
        words = advice if pickled else _checkpoint_below(checkpoint)
        raise InputError(f"{checkpoint}: holds no safetensors weights{words and '; '}{words}")
    others = [name for name in names if name in TOKENIZER_FILES or name.endswith(".py")]
    kept = sorted([*(weights or pickled), *others])
    return [checkpoint / name for name in ("config.json", *kept)]


def _checkpoint_below(directory: Path) -> str:
    """Return advice to name a checkpoint below a directory, such as an arm's; "" if none is there.

    If there are several, the advice names the last one in order of their paths.
    """
    checkpoints = [
        path.parent
        for pattern in CHECKPOINTS_BELOW
        for path in sorted(directory.glob(f"{pattern}/*.safetensors"))
    ]
    return f"there is one at {checkpoints[-1]}" if checkpoints else ""
