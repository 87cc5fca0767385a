"""The operators' view of the dead letters: read them all, say how each stands, send them again. Moves no offset."""

from k2x.dead_letters.archive import gather
from k2x.dead_letters.letter import Letter, State
from k2x.dead_letters.redrive import MOST_REPLAYS, Step, carry_out, plan
from k2x.dead_letters.selection import Selection, one, pick

__all__ = ["MOST_REPLAYS", "Letter", "Selection", "State", "Step", "carry_out", "gather", "one", "pick", "plan"]
