"""A stage that refuses its input leaves nothing behind: not even the plan that it began with."""

import contextlib
from collections.abc import Iterator

from asymreinforce.data import files
from asymreinforce.data.arm_progress import progress_path
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, HeldError, StorageError, TrainingError


@contextlib.contextmanager
def remove_if_refused(*stores: Store) -> Iterator[None]:
    """If this run is refused before its first shard, remove the directories that it planned.

    What was there before stays, and so does a training that went wrong by itself: its plan and its
    configuration say what was tried.
    """
    new = [store for store in stores if not store.directory.exists()]
    try:
        yield
    except TrainingError:
        raise
    except AsymreinforceError:
        for store in new:
            remove_stage(store)
        raise


def remove_stage(store: Store) -> None:
    """Remove a store that has a plan and no shard, and on which no other process works."""
    if not store.directory.exists():
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.held())
        except HeldError:
            return
        except StorageError:
            pass  # a full disk has no room for a lease, and all the more is to be removed
        if not any(store.receipt(name) for name in store.planned):
            files.remove_path(store.directory)
            files.remove_path(progress_path(store.directory))
