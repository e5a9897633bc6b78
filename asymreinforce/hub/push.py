"""Push a checkpoint of an arm, or a set of rollouts with its verdicts, to the hub."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from asymreinforce import credentials
from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment.arms import TrainedArm, arms_of
from asymreinforce.hub import cards
from asymreinforce.hub.client import Hub, Kind, Upload
from asymreinforce.hub.rows import write_rows
from asymreinforce.viewing.stored import find_set, verdicts_of

CARD = "README.md"
CURVES = "curves.parquet"


class Pushed(NamedTuple):
    """A finished or planned push: files with their sizes in bytes, card, and address."""

    what: str
    files: dict[str, int]
    card: str
    address: str | None
    """None if nothing was sent."""


def push_checkpoint(
    directory: Path,
    to: str,
    *,
    hub: Hub | None,
    arm: str | None = None,
    step: int | None = None,
    public: bool = False,
) -> Pushed:
    """Push the weights of an arm at a step as a model; if `hub` is None, only plan the push.

    The default is the arm with the highest validation accuracy, at its best step. Raises
    `InputError` if there is no such checkpoint, or if the hub refuses the push.
    """
    chosen = _arm(directory, arm)
    at = _step(chosen, step)
    checkpoint = chosen.store.path(f"checkpoints/step-{at:06d}")
    title = f"{directory.resolve().name}, arm {chosen.name}, step {at}"
    card = cards.model_card(chosen, step=at, curves=_curves(directory, chosen), title=title)
    uploads = [
        Upload(str(path.relative_to(checkpoint)), path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != CARD  # the new card takes the place of an old one
    ]
    message = f"step {at} of arm {chosen.name}"
    return _push(to, uploads, card, kind="model", message=message, hub=hub, public=public)


def push_rollouts(
    directory: Path,
    to: str,
    *,
    hub: Hub | None,
    rollouts: str | None = None,
    grader: str | None = None,
    public: bool = False,
) -> Pushed:
    """Push a set of rollouts with its verdicts and questions as a dataset of parquet files.

    The default is the set that all arms share, with the verdicts of the task's grader. If `hub` is
    None, only plan the push. Raises `InputError` if there is no such set, or if the hub refuses it.
    """
    stored = find_set(directory, rollouts=rollouts)
    verdicts = verdicts_of(stored, grader)
    with tempfile.TemporaryDirectory(prefix="asymrl-push-") as folder:
        paths = write_rows(stored, verdicts, Path(folder))
        identities = {"rollouts": stored.rollouts.identity}
        identities |= {"verdicts": verdicts.identity} if verdicts else {}
        card = cards.dataset_card(
            title=f"{directory.resolve().name}, rollouts {stored.rollouts.hash}",
            counts=_counts(paths),
            identities=identities,
        )
        uploads = [Upload(f"data/{path.name}", path) for path in paths]
        message = f"rollouts {stored.rollouts.hash}"
        return _push(to, uploads, card, kind="dataset", message=message, hub=hub, public=public)


def _push(
    to: str,
    uploads: Sequence[Upload],
    card: str,
    *,
    kind: Kind,
    message: str,
    hub: Hub | None,
    public: bool,
) -> Pushed:
    # a card holds settings, and a setting may hold a token
    credentials.require_none({"the card": card}, os.environ)
    uploads = [*uploads, Upload(CARD, card.encode())]
    sizes = {upload.name: _size(upload) for upload in uploads}
    if hub is None:
        return Pushed(kind, sizes, card, None)
    visibility = hub.visibility(to, kind=kind)
    # a push that the user takes for private would be public
    if visibility == "public" and not public:
        raise ConfigError(
            f"{to}: is already a public {kind}, and pushes are private by default; add --public, "
            "or push to another name"
        )
    if visibility == "absent":
        hub.create(to, kind=kind, private=not public)
    return Pushed(kind, sizes, card, hub.commit(to, uploads, kind=kind, message=message))


def _size(upload: Upload) -> int:
    content = upload.content
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _arm(directory: Path, prefix: str | None) -> TrainedArm:
    arms = arms_of(directory)
    if not arms:
        raise InputError(f"{directory}: no arm is complete; run 'asymrl sweep' or 'asymrl train'")
    matching = [arm for arm in arms if arm.name.startswith(prefix or "")]
    if prefix is None and len(arms) > 1:
        known = [arm for arm in arms if arm.store.facts.get("best_accuracy") is not None]
        best = max((arm.store.facts["best_accuracy"] for arm in known), default=None)
        matching = [arm for arm in known if arm.store.facts["best_accuracy"] == best][:1]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(arm.name for arm in (matching or arms)[:12])
    raise InputError(
        f"{directory}: name one arm with --arm ("
        + (f"{len(matching)} arms match" if matching else "no arm matches, or none was validated")
        + f"): {names}"
    )


def _step(arm: TrainedArm, step: int | None) -> int:
    # the best step is chosen on validation questions, since held-out questions choose nothing
    at = step if step is not None else arm.store.facts.get("best_step") or arm.last_step
    if at not in arm.checkpoints:
        known = ", ".join(map(str, arm.checkpoints)) or "none"
        raise InputError(
            f"arm {arm.name}: has no weights of step {at}; steps with weights: {known}"
        )
    return int(at)


def _curves(directory: Path, arm: TrainedArm) -> list[dict[str, Any]]:
    path = directory / CURVES
    if not path.exists():
        return []
    rows = contracts.read_table(path, contracts.CURVES)
    own: list[dict[str, Any]] = rows.filter(pc.equal(rows.column("arm"), arm.name)).to_pylist()
    return own


def _counts(paths: Sequence[Path]) -> dict[str, int]:
    prompts: set[str] = set()
    rows = judged = 0
    for path in paths:
        table = pq.read_table(path, columns=["prompt_id", "status"])
        prompts |= set(table.column("prompt_id").to_pylist())
        rows += len(table)
        judged += len(table) - table.column("status").null_count
    return {"prompts": len(prompts), "rollouts": rows, "with a verdict": judged}
