"""An arm's directory as several ranks see it: the first one publishes, the others help to write.

All ranks see the same file system; what one has just written another may see a little later, so
only the first one asks what is there.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from asymreinforce.data.store import Store
from asymreinforce.update.ranks import Ranks


class SharedStore(Store):
    """A store of which every rank calls `plan`, `replan`, `publish`, `drop` and `close` alike."""

    def __init__(self, store: Store, ranks: Ranks):
        super().__init__(store.directory.parent, store.identity, passing=store.passing)
        self.directory = store.directory
        self._ranks = ranks

    def plan(self, shards: Iterable[str]) -> None:
        """Publish the plan once; it is there for all afterwards."""
        if self._ranks.is_first:
            super().plan(shards)
        self._ranks.wait()

    def replan(self, shards: Iterable[str]) -> None:
        """Publish the shorter plan once; it is there for all afterwards."""
        if self._ranks.is_first:
            super().replan(shards)
        self._ranks.wait()

    def publish(
        self, name: str, write: Callable[[Path], None], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Let the ranks write a shard together at one temporary place, then publish it once."""

        def together(path: Path) -> None:
            write(Path(self._ranks.text(str(path))))
            self._ranks.wait()

        if self._ranks.is_first:
            super().publish(name, together, facts=facts)
        else:
            together(Path())

    def path(self, name: str) -> Path:
        """Return the path of a shard; the first rank checks its bytes, which may be many."""
        return super().path(name) if self._ranks.is_first else self.directory / name

    def drop(self, name: str) -> None:
        """Remove a shard, once."""
        if self._ranks.is_first:
            super().drop(name)

    def close(self, facts: Mapping[str, Any] | None = None) -> None:
        """Publish the manifest, once."""
        if self._ranks.is_first:
            super().close(facts)

    def record(self, provenance: Mapping[str, Any]) -> None:
        """Write provenance, once."""
        if self._ranks.is_first:
            super().record(provenance)
