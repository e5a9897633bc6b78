"""Decode the token ids of prompts as the model saw them, including special tokens."""

from collections.abc import Callable, Iterator
from pathlib import Path

from asymreinforce.data import files
from asymreinforce.errors import InputError
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.model.fingerprint import TOKENIZER_FILES, tokenizer_fingerprint
from asymreinforce.viewing.stored import StoredSet

Decode = Callable[[list[int]], str]


def decoder_of(stored: StoredSet) -> Decode | None:
    """Return a function that decodes a set's token ids; None if its tokenizer is not on disk.

    The tokenizer is that of the checkpoint that provenance names, or of a copy of the checkpoint in
    the experiment. Code that comes with a checkpoint never runs.
    """
    named = stored.rollouts.identity.get("tokenizer")  # only imported rollouts have this entry
    for place in _places(stored):
        if any((place / name).is_file() for name in TOKENIZER_FILES):
            # another tokenizer would decode the ids to another text
            if named not in (None, tokenizer_fingerprint(place)):
                continue
            try:
                return _decoder(place)
            except InputError:
                continue  # a later place may hold a copy that loads
    return None


def _decoder(place: Path) -> Decode:
    if (place / "tokenizer.json").is_file():
        from tokenizers import Tokenizer  # loads in milliseconds, transformers in seconds

        try:
            loaded = Tokenizer.from_file(str(place / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare exceptions
            raise InputError(f"{place / 'tokenizer.json'}: does not load ({error})") from error
        return lambda token_ids: str(loaded.decode(token_ids, skip_special_tokens=False))
    tokenizer = load_tokenizer(place)
    return lambda token_ids: str(
        tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )


def _places(stored: StoredSet) -> Iterator[Path]:
    records = sorted((stored.rollouts.directory / "provenance").glob("*.json"), reverse=True)
    for record in records:
        if isinstance(checkpoint := files.read_if_whole(record).get("checkpoint"), str):
            yield Path(checkpoint)
    yield from sorted(stored.directory.glob("policy/*/checkpoint"))
    yield from sorted(stored.directory.glob("train/*/checkpoints/step-??????"))
