"""Import the rollouts of other programs: prompts, rollouts and, if rows have rewards, verdicts.

    records -> columns -> rows, turns -> tokens, check_rows -> group_by_prompt -> publish

Everything is read and checked before anything is published. All rollouts of a prompt are in one
shard, so that a shard holds whole groups; groups may differ in size.
"""

from asymreinforce.imported.publish import Imported, facts_of
from asymreinforce.imported.stage import import_rollouts
from asymreinforce.imported.stores import Stores, import_stores

__all__ = ["Imported", "Stores", "facts_of", "import_rollouts", "import_stores"]
