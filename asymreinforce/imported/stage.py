"""Import a foreign file: check all of its rows, then publish."""

import contextlib
from pathlib import Path
from typing import Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.data import files
from asymreinforce.data.provenance import run_provenance
from asymreinforce.imported.check_rows import check_rows
from asymreinforce.imported.columns import Columns
from asymreinforce.imported.group_by_prompt import group_by_prompt
from asymreinforce.imported.problems import Problems
from asymreinforce.imported.publish import publish_import
from asymreinforce.imported.stores import Stores, import_stores
from asymreinforce.imported.tokens import Encoder
from asymreinforce.progress import say


def import_rollouts(config: ExperimentConfig, *, checkpoint: Path) -> Stores:
    """Import a foreign file: publish the shards that are missing, and return the stores.

    Raises `InputError` with counts and places if rows cannot be used, and publishes nothing then.
    Raises `ConfigError` if neither the file's ending nor a setting says how to read the file.
    """
    stores = import_stores(config, checkpoint=checkpoint)
    files.remove_leftovers(files.make_directory(config.directory / "rollouts"))
    if stores.prompts.is_done() and stores.rollouts.is_done() and _verdicts_done(stores):
        say(f"import: complete, nothing to do ({stores.rollouts.directory})")
        return stores
    with contextlib.ExitStack() as stack:
        for store in stores:
            stack.enter_context(store.held())
        _check_and_publish(config, stores, checkpoint=checkpoint)
    return stores


def _check_and_publish(config: ExperimentConfig, stores: Stores, *, checkpoint: Path) -> None:
    notes = Problems()
    encoder = Encoder(checkpoint, config, notes=notes)
    columns = Columns(config.source)
    with group_by_prompt(config.directory / "rollouts") as groups:
        # all rows before anything is published: one bad row refuses the whole import
        check_rows(groups, config, encoder, columns, notes)
        facts: dict[str, Any] = publish_import(groups, config, stores)
    facts |= {"skipped": notes.counts, "warned": encoder.warnings.counts}
    facts |= {"round_trip_mismatches": encoder.mismatch.rows}
    stores.rollouts.record(
        run_provenance(
            source=str(config.source.path),
            checkpoint=str(checkpoint.absolute()),
            columns=columns.line,
            notes=notes.lines,
            warnings=encoder.warnings.lines,
            mismatch=encoder.mismatch.example,
        )
    )
    stores.rollouts.close(facts)
    _say_notes_and_warnings(columns, notes, encoder)


def _verdicts_done(stores: Stores) -> bool:
    return not stores.rollouts.facts["rewarded"] or stores.verdicts.is_done()


def _say_notes_and_warnings(columns: Columns, notes: Problems, encoder: Encoder) -> None:
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
