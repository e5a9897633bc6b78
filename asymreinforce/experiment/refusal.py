"""A stage that refuses its input leaves nothing behind: not even the plan that it began with."""

import contextlib
from collections.abc import Iterator

from asymreinforce.data import files
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, StorageError, TrainingError


@contextlib.contextmanager
def traceless(*stores: Store) -> Iterator[None]:
    """Remove the directories that this run planned where it was refused before its first shard.

    What was there before stays, and so does a training that went wrong by itself: its plan and its
    configuration say what was tried.
    """
    new = [store for store in stores if not store.directory.exists()]
    try:
        with full_disk_is_named(*stores):
            yield
    except TrainingError:
        raise
    except AsymreinforceError:
        for store in new:
            if not any(store.receipt(name) for name in store.planned):
                files.remove(store.directory)
        raise


@contextlib.contextmanager
def full_disk_is_named(*stores: Store) -> Iterator[None]:
    """Turn what safetensors raises on a full disk, which is no `OSError`, into a `StorageError`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, AsymreinforceError) or "No space left" not in str(error):
            raise
        where = ", ".join(str(store.directory) for store in stores)
        raise StorageError(
            f"{where}: the disk is full; free some space and run the same command again"
        ) from error
