"""Import: rollouts from elsewhere into prompts, rollouts and, where rewards came, verdicts.

    a foreign file --columns, tokens, checks--> prompts/ + rollouts/ (+ verdicts/ of 'imported')

Everything is read and checked before anything is published. All rollouts of a prompt stand in one
shard, so that a shard holds whole groups, of whatever sizes they come in.
"""

from asymreinforce.stages.foreign.bring import import_rollouts
from asymreinforce.stages.foreign.stores import Stores, stores
from asymreinforce.stages.foreign.tally import Imported, facts_of

__all__ = ["Imported", "Stores", "facts_of", "import_rollouts", "stores"]
