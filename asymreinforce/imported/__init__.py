"""Rollouts from elsewhere: prompts, rollouts and, if rewards came with them, verdicts.

    records -> columns -> rows, turns -> tokens, check_rows -> group_by_prompt -> publish

Everything is read and checked before anything is published. All rollouts of a prompt stand in one
shard, so that a shard holds whole groups, of whatever sizes they come in.
"""

from asymreinforce.imported.counts import Imported, facts_of
from asymreinforce.imported.stage import import_rollouts
from asymreinforce.imported.stores import Stores, import_stores

__all__ = ["Imported", "Stores", "facts_of", "import_rollouts", "import_stores"]
