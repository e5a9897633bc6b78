"""An arm's store that several ranks share: the first rank publishes, all ranks write shards.

All ranks share a file system. A rank may see new files of another rank with a delay, so only the
first rank looks at files.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from asymreinforce.data.store import Store
from asymreinforce.update.ranks import Ranks


class SharedStore(Store):
    """A store for several ranks; all must call `plan`, `replan`, `publish`, `drop`, `close`."""

    def __init__(self, store: Store, ranks: Ranks):
        super().__init__(store.directory.parent, store.identity, passing=store.passing)
        self.directory = store.directory
        self._ranks = ranks

    def plan(self, shards: Iterable[str]) -> None:
        """Publish the plan once, and wait until all ranks can read it."""
        if self._ranks.is_first:
            super().plan(shards)
        self._ranks.wait()

    def replan(self, shards: Iterable[str]) -> None:
        """Publish the shorter plan once, and wait until all ranks can read it."""
        if self._ranks.is_first:
            super().replan(shards)
        self._ranks.wait()

    def publish(
        self, name: str, write: Callable[[Path], None], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Let all ranks write a shard to one temporary path, then publish the shard once."""

        def together(path: Path) -> None:
            # only the first rank knows the temporary path, and sends it to the others
            write(Path(self._ranks.text(str(path))))
            self._ranks.wait()

        if self._ranks.is_first:
            super().publish(name, together, facts=facts)
        else:
            together(Path())

    def path(self, name: str) -> Path:
        """Return the path of a shard; only the first rank checks the shard's bytes."""
        # the check reads the whole shard, which may be large
        return super().path(name) if self._ranks.is_first else self.directory / name

    def drop(self, name: str) -> None:
        """Remove a shard once."""
        if self._ranks.is_first:
            super().drop(name)

    def close(self, facts: Mapping[str, Any] | None = None) -> None:
        """Publish the manifest once."""
        if self._ranks.is_first:
            super().close(facts)

    def record(self, provenance: Mapping[str, Any]) -> None:
        """Write the provenance once."""
        if self._ranks.is_first:
            super().record(provenance)
