"""Bring a foreign file in: gather all of it, then publish."""

import contextlib
from pathlib import Path
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import files
from asymreinforce.data.provenance import provenance
from asymreinforce.imported.check_rows import gather
from asymreinforce.imported.columns import Columns
from asymreinforce.imported.group_by_prompt import gathering
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.publish import publish
from asymreinforce.imported.stores import Stores, stores
from asymreinforce.imported.tokens import Encoder
from asymreinforce.progress import say


def import_rollouts(config: ExperimentConfig, *, checkpoint: Path) -> Stores:
    """Bring a foreign file in; what is there is left alone, what is missing is filled.

    Raises `InputError` with counts and places for rows that cannot be used; nothing is published
    then. `ConfigError` where the file's ending or a setting does not say how to read it.
    """
    found = stores(config, checkpoint=checkpoint)
    files.remove_leftovers(files.make_directory(config.directory / "rollouts"))
    if found.prompts.is_done() and found.rollouts.is_done() and _verdicts_done(found):
        say(f"import: complete, nothing to do ({found.rollouts.directory})")
        return found
    with contextlib.ExitStack() as stack:
        for store in found:
            stack.enter_context(store.held())
        _bring(config, found, checkpoint=checkpoint)
    return found


def _bring(config: ExperimentConfig, found: Stores, *, checkpoint: Path) -> None:
    notes = Problems()
    encoder = Encoder(checkpoint, config, notes=notes)
    columns = Columns(config.source)
    with gathering(config.directory / "rollouts") as gathered:
        gather(gathered, config, encoder, columns, notes)
        facts: dict[str, Any] = publish(gathered, config, found)
    facts |= {"skipped": notes.counts, "warned": encoder.warnings.counts}
    facts |= {"round_trip_mismatches": encoder.mismatch.rows}
    found.rollouts.record(
        provenance(
            source=str(config.source.path),
            checkpoint=str(checkpoint.absolute()),
            columns=columns.line,
            notes=notes.lines,
            warnings=encoder.warnings.lines,
            mismatch=encoder.mismatch.example,
        )
    )
    found.rollouts.close(facts)
    _tell(columns, notes, encoder)


def _verdicts_done(found: Stores) -> bool:
    return not found.rollouts.facts["rewarded"] or found.verdicts.is_done()


def _tell(columns: Columns, notes: Problems, encoder: Encoder) -> None:
    say(f"import: {columns.line}")
    for line in notes.lines:
        say(f"import: {line}")
    for line in [*encoder.warnings.lines, *encoder.unused_settings]:
        say(f"warning: {line}")
    if encoder.mismatch.rows:
        say(
            f"warning: the tokens of {encoder.mismatch.rows} rows do not decode to their text; "
            f"{encoder.mismatch.example}"
        )
