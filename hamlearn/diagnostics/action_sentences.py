"""The sentences of codes about actions of networks, their tails and their data; see ``sentences``."""

from __future__ import annotations

from hamlearn.diagnostics import wording
from hamlearn.diagnostics.sentences import SENTENCES
from hamlearn.models.actions import percent

SENTENCES |= {
    "unbounded tails": lambda n, made: (
        f"{percent(n['share'])} of the draws had polynomials that do not hold paths together beyond the data"
        + ("" if n["kept"] else ", and were left out: observed paths are held together"),
        "Give more data; how the action grows beyond them is known from nothing else.",
    ),
    "arrow of time": lambda n, made: (
        f"steps of the paths at beta = {n['beta']:g} are not the same forwards and backwards in time ({wording.chance(n['p'])}), and the "
        "learned kinetic term is even",
        "Paths of a Hamiltonian have no arrow of time: look at the order of their slices, or at how they were made.",
    ),
    "not mirror images": lambda n, made: (
        f"the learned potential is even, and x and -x of the paths are not alike ({wording.chance(n['p'])})",
        "Learn with even=False, or look at how the paths were made: chains that stay in one well show no symmetry.",
    ),
    "paths elsewhere": lambda n, made: (
        f"at beta = {n['beta']:g} the mean of {'x' if n['power'] == 1 else 'x²'} is {n['learned']:.3g} under the learned action, and "
        f"{n['observed']:.3g} ± {n['error']:.1g} in the data",
        "Slopes say little of how deep wells are: give more paths, or learn with even=True where wells are known to be alike.",
    ),
    "slopes unbalanced": lambda n, made: (
        f"slopes of the learned action do not balance in the data as they would in paths of its own ({wording.chance(n['p'])}): the action "
        "is not of this form",
        "k is taken to depend on steps alone and v on values alone, of one slice each: hl.models.Autoregressive assumes neither.",
    ),
    "beyond what was shown": lambda n, made: (
        f"at beta = {n['beta']:g}, {percent(n['unseen_steps'])} of the steps and {percent(n['unseen_values'])} of the values lie beyond "
        f"what the data showed ({percent(n['unseen_share'])} of the paths have one), where the action is "
        f"{'the polynomials beside its networks' if n['networks'] else 'its polynomial'}",
        "Observe a temperature nearer by, or take what follows from such paths for a guess.",
    ),
}
