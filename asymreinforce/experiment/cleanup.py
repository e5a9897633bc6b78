"""Remove the directories of a stage that refused its input, its plan included."""

import contextlib
from collections.abc import Iterator

from asymreinforce.data import files
from asymreinforce.data.arm_progress import progress_path
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, HeldError, StorageError, TrainingError


@contextlib.contextmanager
def remove_if_refused(*stores: Store) -> Iterator[None]:
    """If the block raises before its first shard, remove the directories that it created.

    Directories that existed before are kept. So is a training that raised `TrainingError`.
    """
    new = [store for store in stores if not store.directory.exists()]
    try:
        yield
    except TrainingError:  # the plan and settings of the arm record what was tried
        raise
    except AsymreinforceError:
        for store in new:
            remove_stage(store)
        raise


def remove_stage(store: Store) -> None:
    """Remove a store that has a plan and no shard, unless another process works on the store."""
    if not store.directory.exists():
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.held())
        except HeldError:
            return
        except StorageError:
            pass  # a full disk has no room for a lease: removing the store makes room
        if not any(store.receipt(name) for name in store.planned):
            files.remove_path(store.directory)
            files.remove_path(progress_path(store.directory))
