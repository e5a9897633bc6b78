"""The store: the output directory of a stage, named by its identity.

    runs/<experiment>/<stage>/<identity>/
        plan.json            the identity and all planned shards; published first
        <shard>              a parquet file or a checkpoint directory
        <shard>.receipt      the identity's hash, the shard's size and SHA-256; makes it valid
        manifest.json        the checksums of all shards and the stage's counts; published last
        provenance/          versions, host, times: recorded, never compared
        .sums                remembered checksums (`checksums.py`)

The *identity* is everything that determines the bytes: settings, fingerprints of inputs, schema
versions. A re-run fills every shard that is missing or invalid. A plan may grow (more samples, more
checkpoints to evaluate); existing shards stay untouched. A process that fills a directory holds its
lease (`lease.py`); reading a complete directory needs no lease.
"""

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from asymreinforce.data import checksums, files, lease, sealed
from asymreinforce.errors import ConfigError, InputError, StorageError

HASH_LENGTH = 16


class Receipt(NamedTuple):
    """What makes a shard valid: the identity's hash, size in bytes, SHA-256, and counts."""

    identity: str
    bytes: int
    sha256: str
    facts: dict[str, Any]


def hash_of(value: Any) -> str:
    """Return a short hash of a JSON value that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


class Store:
    """One stage directory: plan, publish shards, list missing shards, close.

    A stage writes by `Store(parent, identity)`, whose directory `plan` creates; a reader uses
    `Store.open(directory)`. Raises `InputError` if files are absent, damaged or of another
    identity, and `StorageError` if the directory cannot be written.
    """

    def __init__(
        self,
        parent: Path,
        identity: Mapping[str, Any],
        *,
        pinned: Path | None = None,
        passing: Sequence[str] = (),
    ):
        """`passing` are folders that only unfinished work needs.

        Closing the store removes them, except folders with a planned shard.
        """
        self.passing = tuple(passing)
        self.identity = dict(identity)
        self.hash = hash_of(self.identity)
        self.directory = pinned or parent / self.hash
        if pinned and (pinned / "plan.json").exists():
            self._require_same_identity(_read_plan(pinned / "plan.json")["identity"])

    @classmethod
    def open(cls, directory: Path) -> "Store":
        """Open a planned stage directory for reading; raises `InputError` if it is none."""
        plan_path = directory / "plan.json"
        if not plan_path.exists():
            raise InputError(f"{directory}: not a stage directory, it has no plan.json")
        plan = _read_plan(plan_path)
        store = cls(directory.parent, plan["identity"], pinned=directory)
        if store.hash != plan.get("hash"):
            raise InputError(f"{plan_path}: was changed by hand; its identity has another hash")
        return store

    @property
    def planned(self) -> tuple[str, ...]:
        """The names of the planned shards, in order."""
        path = self.directory / "plan.json"
        return tuple(_read_plan(path)["shards"]) if path.exists() else ()

    def held(self) -> AbstractContextManager[None]:
        """Hold the directory's lease while writing; `HeldError` names another holder."""
        return lease.held(self.directory)

    def is_done(self, shards: Iterable[str] | None = None) -> bool:
        """Tell whether these shards (default: all) are planned and valid in a closed store."""
        if not (set(shards or ()) <= set(self.planned) and self.is_complete()):
            return False
        # A process that died just after closing left its lease and passing folders: remove both.
        if self._has_passed() or lease.is_abandoned(self.directory):
            with contextlib.suppress(StorageError), self.held():
                self._drop_passed()
        return True

    def plan(self, shards: Iterable[str]) -> None:
        """Publish the identity and the planned shards, or add shards to an existing plan."""
        files.make_directory(self.directory)
        files.remove_leftovers(self.directory)
        before = self.planned
        given = tuple(dict.fromkeys(shards))
        # If `shards` are the whole plan, their order counts, so that a directory that was made in
        # parts has the same plan as a directory that was made at once.
        first = given if set(before) <= set(given) else before
        after = tuple(dict.fromkeys((*first, *given)))
        if set(after) != set(before):
            self._publish_plan(after)

    def replan(self, shards: Iterable[str]) -> None:
        """Replace the plan by these shards, for a stage that ends before its plan does."""
        self._publish_plan(tuple(shards))

    def _publish_plan(self, shards: Sequence[str]) -> None:
        plan = {"identity": self.identity, "hash": self.hash, "shards": shards}
        sealed.publish_sealed(self.directory / "plan.json", plan)

    def receipt(self, name: str) -> Receipt | None:
        """Return a shard's receipt, None if it is not published; the shard is not read."""
        path, receipt_path = self.directory / name, self.directory / f"{name}.receipt"
        if not (path.exists() and receipt_path.exists()):
            return None
        try:
            receipt = Receipt(**sealed.read_sealed(receipt_path))
        except (InputError, TypeError):
            return None
        return receipt if receipt.identity == self.hash else None

    def is_valid(self, name: str) -> bool:
        """Tell whether a shard is published and its bytes still match its receipt.

        The bytes are read only if a file changed since they were read last (`checksums.py`).
        """
        receipt = self.receipt(name)
        return receipt is not None and self._matches_receipt(name, receipt, read=False)

    def _matches_receipt(self, name: str, receipt: Receipt, *, read: bool) -> bool:
        path = self.directory / name
        # the size is known without reading the shard
        if files.size_on_disk(path) != receipt.bytes:
            return False
        return checksums.remembered_sha256(path, read=read) == receipt.sha256

    def missing(self, shards: Iterable[str] | None = None) -> list[str]:
        """Return the names of absent or damaged shards among `shards` (default: all planned)."""
        return [n for n in (self.planned if shards is None else shards) if not self.is_valid(n)]

    def publish(
        self, name: str, write: Callable[[Path], None], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Let `write` make a shard (a file or a directory), then publish it with a receipt."""
        receipt_path = self.directory / f"{name}.receipt"
        # first, so that a kill never leaves new bytes under an old receipt
        files.remove_path(receipt_path)
        path = files.make_directory((self.directory / name).parent) / Path(name).name
        files.publish_path(path, write)
        receipt = Receipt(
            self.hash, files.size_on_disk(path), files.sha256(path), dict(facts or {})
        )
        sealed.publish_sealed(receipt_path, receipt._asdict())

    def drop(self, name: str) -> None:
        """Remove a shard and its receipt, such as a checkpoint that is no longer kept."""
        files.remove_path(self.directory / f"{name}.receipt")
        files.remove_path(self.directory / name)

    def path(self, name: str) -> Path:
        """Return the path of a valid shard; raises `InputError` if it is absent or damaged."""
        # The caller is about to use the bytes, so all of them are read, once in a process.
        self.verified(name, read=True)
        return self.directory / name

    def verified(self, name: str, *, read: bool = False) -> Receipt:
        """Return the receipt of a valid shard; raises `InputError` if it is absent or damaged.

        The bytes are read if `read` is set, or if a file changed since they were read last.
        """
        receipt = self.receipt(name)
        if receipt is None or not self._matches_receipt(name, receipt, read=read):
            state = "damaged (its checksum differs)" if receipt else "not published"
            raise InputError(
                f"{self.directory / name}: {state}; run the stage that makes it again, "
                "it fills what is missing or invalid and leaves the rest"
            )
        return receipt

    def fingerprint(self, shards: Iterable[str] | None = None) -> str:
        """Return a hash of the identity and of the contents of `shards` (default: all planned).

        The identity of the next stage contains this fingerprint. Raises `InputError` if a shard is
        not published.
        """
        sums = {}
        for name in self.planned if shards is None else shards:
            receipt = self.receipt(name)
            if receipt is None:
                raise InputError(f"{self.directory / name}: not published; run its stage again")
            sums[name] = receipt.sha256
        return hash_of([self.hash, sums])

    def close(self, facts: Mapping[str, Any] | None = None) -> None:
        """Publish the manifest, which declares every planned shard present."""
        manifest = {
            "hash": self.hash,
            "shards": {name: self._shard_sum(name) for name in self.planned},
            "facts": dict(facts or {}),
        }
        # compared as JSON reads it back, with lists for tuples
        if self._read_manifest() != json.loads(json.dumps(manifest)):
            sealed.publish_sealed(self.directory / "manifest.json", manifest)
        self._drop_passed()

    def _has_passed(self) -> list[str]:
        """Name the passing folders that still exist and hold no planned shard."""
        remaining = [name for name in self.passing if (self.directory / name).exists()]
        planned = {name.partition("/")[0] for name in self.planned} if remaining else set()
        return [name for name in remaining if name not in planned]

    def _drop_passed(self) -> None:
        for name in self._has_passed():
            self.drop(name)

    def is_complete(self) -> bool:
        """Tell whether the manifest lists exactly the planned shards and every shard is valid."""
        manifest = self._read_manifest()
        return (
            manifest is not None
            and set(manifest["shards"]) == set(self.planned)
            and not self.missing()
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The counts that the stage closed with."""
        manifest = self._read_manifest()
        return dict(manifest["facts"]) if manifest else {}

    def record(self, provenance: Mapping[str, Any]) -> None:
        """Write the provenance of this run (host, versions, ...) and the time to `provenance/`."""
        now = datetime.datetime.now(datetime.UTC)
        directory = files.make_directory(self.directory / "provenance")
        name = f"{now:%Y%m%dT%H%M%S%f}-{os.getpid()}.json"
        entry = {"written": now.isoformat(timespec="seconds"), **provenance}
        files.publish_json(directory / name, entry)

    def _read_manifest(self) -> dict[str, Any] | None:
        """Read the manifest; None if it is absent or damaged."""
        try:
            manifest = sealed.read_sealed(self.directory / "manifest.json")
        except InputError:
            return None  # the next close writes the manifest again
        return manifest if {"shards", "facts"} <= set(manifest) else None

    def _shard_sum(self, name: str) -> str:
        receipt = self.receipt(name)
        if receipt is None:
            raise StorageError(f"{self.directory / name}: vanished before its stage could close")
        return receipt.sha256

    def _require_same_identity(self, other: Mapping[str, Any]) -> None:
        differing = differing_keys(self.identity, other)
        if differing:
            raise ConfigError(
                f"{self.directory}: was made with other settings ({', '.join(differing)}); "
                "use those, or point at another directory"
            )


def _read_plan(path: Path) -> dict[str, Any]:
    plan = sealed.read_sealed(path)
    if not (isinstance(plan.get("identity"), dict) and isinstance(plan.get("shards"), list)):
        raise InputError(f"{path}: not a plan; delete the directory, run the stage again")
    return plan


def differing_keys(left: Any, right: Any, *, prefix: str = "") -> list[str]:
    """Return the dotted keys in which two identities differ, each with both values."""
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        return [] if left == right else [f"{prefix}: {left!r} is not {right!r}"]
    return [
        line
        for key in sorted({*left, *right})
        for line in differing_keys(
            left.get(key), right.get(key), prefix=f"{prefix}.{key}" if prefix else key
        )
    ]
