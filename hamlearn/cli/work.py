"""What a command has kept so far: all that it can truthfully say when it is interrupted. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hamlearn.checkpoint import Checkpoint


@dataclass
class Work:
    """State of one command.

    Attributes
    ----------
    checkpoints : list of Checkpoint
        Those opened so far.
    written : list of Path
        Results that are whole.
    wanted : int
        How many results the command writes.
    """

    checkpoints: list[Checkpoint] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    wanted: int = 1

    def saves_itself(self) -> bool:
        """Whether a run is under way that an interrupt makes save itself."""
        return bool(self.checkpoints) and not self.written

    def sentence(self) -> str:
        """What is kept, and what running the command again does.

        Examples
        --------
        >>> Work().sentence()
        'nothing had been kept: the same command starts anew.'
        >>> Work(written=[Path("d.nc")]).sentence()
        'the result had already been written to d.nc.'
        """
        written = ", ".join(str(path) for path in self.written)
        if written and len(self.written) >= self.wanted:
            return f"the result had already been written to {written}."
        if written:
            return f"written so far: {written}. The same command starts anew and replaces them."
        kept = ", ".join(str(one.at) for one in self.checkpoints if one.holds())
        if kept:
            return f"what was done is kept in {kept}: run the same command again to go on."
        return "nothing had been kept: the same command starts anew."
