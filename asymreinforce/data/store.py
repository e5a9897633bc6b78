"""The store: one stage's output directory, named by its identity.

    runs/<experiment>/<stage>/<identity>/
        plan.json            the identity and the shards to come; published first
        <shard>              a parquet file or a checkpoint directory
        <shard>.receipt      the identity's hash, the shard's size and SHA-256; makes it valid
        manifest.json        the receipts of all shards, and the stage's counts; closes
        provenance/          versions, host, times: recorded, never compared
        .sums                checksums that need not be made again (`checksums.py`)

*Identity* is what determines the bytes: settings, fingerprints of inputs, schema versions. A re-run
fills every shard that is missing or invalid; a plan may grow (more samples, more checkpoints to
evaluate), and shards that are there stay untouched. Whoever fills it holds its lease (`lease.py`);
a directory that is complete is read without.
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
    """What makes a shard valid: whose it is, its size in bytes, its SHA-256, and some counts."""

    identity: str
    bytes: int
    sha256: str
    facts: dict[str, Any]


def hash_of(value: Any) -> str:
    """Return a short hash of a JSON value, equal for equal values whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


class Store:
    """One stage directory: plan, publish, missing, close, provenance.

    `Store(parent, identity)` is a stage's own (created by `plan`); `Store.open(directory)` is a
    reader's. Raises `InputError` where what is on disk is absent, damaged or of another identity,
    and `StorageError` where it cannot be written.
    """

    def __init__(
        self,
        parent: Path,
        identity: Mapping[str, Any],
        *,
        pinned: Path | None = None,
        passing: Sequence[str] = (),
    ):
        """`passing` are folders that only work in progress needs: they go when it is closed.

        One stays if the plan announces a shard in it.
        """
        self.passing = tuple(passing)
        self.identity = dict(identity)
        self.hash = hash_of(self.identity)
        self.directory = pinned or parent / self.hash
        if pinned and (pinned / "plan.json").exists():
            self._require_same_identity(_read_plan(pinned / "plan.json")["identity"])

    @classmethod
    def open(cls, directory: Path) -> "Store":
        """Open a directory that a stage has planned, to read it."""
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
        """The names of the shards that the plan announces, in order."""
        path = self.directory / "plan.json"
        return tuple(_read_plan(path)["shards"]) if path.exists() else ()

    def held(self) -> AbstractContextManager[None]:
        """Hold the directory's lease, for all that writes to it; `HeldError` names who has it."""
        return lease.held(self.directory)

    def is_done(self, shards: Iterable[str] | None = None) -> bool:
        """Tell whether nothing is left to do for these shards, or all: planned, valid, and closed.

        Where a process died after it had closed, its lease and what was passing are cleared away.
        """
        if not (set(shards or ()) <= set(self.planned) and self.is_complete()):
            return False
        if self._has_passed() or lease.is_abandoned(self.directory):
            with contextlib.suppress(StorageError), self.held():
                self._drop_passed()
        return True

    def plan(self, shards: Iterable[str]) -> None:
        """Publish the identity and the shards to come, or add shards to a plan that is there.

        If `shards` are all of it, their order is the plan's, so that what was made in parts has the
        plan of what was made at once.
        """
        files.make_directory(self.directory)
        files.remove_leftovers(self.directory)
        before = self.planned
        given = tuple(dict.fromkeys(shards))
        first = given if set(before) <= set(given) else before
        after = tuple(dict.fromkeys((*first, *given)))
        if set(after) != set(before):
            self._publish_plan(after)

    def replan(self, shards: Iterable[str]) -> None:
        """Publish the identity with just these shards to come: a stage may end before its plan."""
        self._publish_plan(tuple(shards))

    def _publish_plan(self, shards: Sequence[str]) -> None:
        plan = {"identity": self.identity, "hash": self.hash, "shards": shards}
        sealed.publish_sealed(self.directory / "plan.json", plan)

    def receipt(self, name: str) -> Receipt | None:
        """Return a shard's receipt, or None where it is not published; the shard is not read."""
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

        Bytes are read where a file changed since they last were (`checksums.py`).
        """
        receipt = self.receipt(name)
        return receipt is not None and self._matches_receipt(name, receipt, read=False)

    def _matches_receipt(self, name: str, receipt: Receipt, *, read: bool) -> bool:
        path = self.directory / name
        if files.size_on_disk(path) != receipt.bytes:
            return False
        return checksums.remembered_sha256(path, read=read) == receipt.sha256

    def missing(self, shards: Iterable[str] | None = None) -> list[str]:
        """Return the shards, of those given or of the plan, that are absent or damaged."""
        return [n for n in (self.planned if shards is None else shards) if not self.is_valid(n)]

    def publish(
        self, name: str, write: Callable[[Path], None], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Let `write` make a shard (a file, or a directory), then publish it and its receipt."""
        receipt_path = self.directory / f"{name}.receipt"
        files.remove_path(receipt_path)
        path = files.make_directory((self.directory / name).parent) / Path(name).name
        files.publish_path(path, write)
        receipt = Receipt(
            self.hash, files.size_on_disk(path), files.sha256(path), dict(facts or {})
        )
        sealed.publish_sealed(receipt_path, receipt._asdict())

    def drop(self, name: str) -> None:
        """Remove a shard and its receipt: retention of checkpoints."""
        files.remove_path(self.directory / f"{name}.receipt")
        files.remove_path(self.directory / name)

    def path(self, name: str) -> Path:
        """Return the path of a valid shard; raise `InputError` where it is absent or damaged.

        Whoever asks is about to use its bytes, so all of them are read, once a process.
        """
        self.verified(name, read=True)
        return self.directory / name

    def verified(self, name: str, *, read: bool = False) -> Receipt:
        """Return the receipt that a shard's bytes match; raise as `path` does.

        They are read if `read`, or if `is_valid` would.
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
        """Return a hash of this identity and of the contents of its shards (all, or those given).

        It is what the next stage puts into its own identity. Raises `InputError` where a shard is
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
        """Publish the manifest: every planned shard is there."""
        manifest = {
            "hash": self.hash,
            "shards": {name: self._shard_sum(name) for name in self.planned},
            "facts": dict(facts or {}),
        }
        if self._read_manifest() != json.loads(json.dumps(manifest)):
            sealed.publish_sealed(self.directory / "manifest.json", manifest)
        self._drop_passed()

    def _has_passed(self) -> list[str]:
        """Name the passing folders that are still there and in which nothing is planned."""
        remaining = [name for name in self.passing if (self.directory / name).exists()]
        planned = {name.partition("/")[0] for name in self.planned} if remaining else set()
        return [name for name in remaining if name not in planned]

    def _drop_passed(self) -> None:
        for name in self._has_passed():
            self.drop(name)

    def is_complete(self) -> bool:
        """Tell whether the manifest covers every planned shard and each is valid."""
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
        """Write down where, when and with what this run of the stage worked; never compared."""
        now = datetime.datetime.now(datetime.UTC)
        directory = files.make_directory(self.directory / "provenance")
        name = f"{now:%Y%m%dT%H%M%S%f}-{os.getpid()}.json"
        entry = {"written": now.isoformat(timespec="seconds"), **provenance}
        files.publish_json(directory / name, entry)

    def _read_manifest(self) -> dict[str, Any] | None:
        """Read the manifest; an absent or damaged one is none, and the next close rewrites it."""
        try:
            manifest = sealed.read_sealed(self.directory / "manifest.json")
        except InputError:
            return None
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
    """Name the dotted keys in which two identities differ, with both values."""
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        return [] if left == right else [f"{prefix}: {left!r} is not {right!r}"]
    return [
        line
        for key in sorted({*left, *right})
        for line in differing_keys(
            left.get(key), right.get(key), prefix=f"{prefix}.{key}" if prefix else key
        )
    ]
