"""What a restricted Boltzmann machine is as a model of microstates, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hamlearn.arguments import require_flag, require_whole
from hamlearn.errors import choice
from hamlearn.models.traits import LOSSES, TRAINED, Model, Traits

CHAINS = ("tempered", "persistent", "data")


@dataclass(frozen=True)
class RBM(Model):
    """A restricted Boltzmann machine of spins or Potts states: p(v) = Σ_h exp(b·v + c·h + v·W·h)/Z, units in {0, 1}.

    Its members are :class:`hamlearn.systems.RestrictedBoltzmannMachine` systems, H = −ln p/β_o, and densities whose ln Z is known: exact up
    to 20 hidden units, else with its standard error (``post["normaliser"]``) from replicas that are exchanged on a line from independent
    sites to the machine, as are their draws above 16 hidden units, below which these are independent. Replicas that have not gone round
    often enough, as with modes that they do not find, make the verdict a caution. That a machine's draws are those of its law does not
    say that this is the law of the data: :func:`hamlearn.audit` compares them.

    Of at most 8 hidden units on at most 16 spins, ``engine="nuts"`` (or :class:`hamlearn.infer.NUTS`) draws the weights from their
    posterior by the exact likelihood, with N(0, 0.5²) of weights and N(0, 1) of biases of units ±1. Hidden units have no names, so that
    it holds what these cannot change: ``magnetization`` and ``correlation`` of the machine's law, energies of microstates, and
    64 machines spread over the draws.

    Parameters
    ----------
    hidden : int
        Hidden units.
    members : int
        Machines trained from different starts; where there are several, each on rows with the random weights of a Bayesian bootstrap, so
        that they scatter as those of repeated experiments.
    chains : {"tempered", "persistent", "data"}
        Where the chains start that a gradient compares the data with: where the last ones ended, exchanged with chains of weaker machines
        (parallel tempering), which crosses barriers; where the last ones ended, with weights that correct for the machine having moved
        since: half the cost, and good enough where a few sweeps cross from mode to mode, but of an ordered phase such chains learn one
        mode and lose the others (8×8 spins at β = 0.6: 43 to 155 nats from the law in six runs, where tempered ones came to 0.5); or at
        the data (contrastive divergence, CD).
    steps : int
        Sweeps of block Gibbs sampling between gradients, the k of CD-k.
    centred : bool
        Whether means over the data are taken from the units of a gradient.

    Raises
    ------
    HamlearnError
        If a number is out of range or a word not known.

    Notes
    -----
    Published machines of the Ising model ("a cautionary tale") are ``RBM(hidden=64, chains="data", steps=10, centred=False)`` of 8×8 spins,
    trained with ``hl.infer.Training(epochs=1000, learning_rate=5e-3)`` on 10 000 rows, and their draws are
    ``hl.simulate(machine, beta, sampler="block_gibbs", burn_in=10, draws=1, chains=10_000)`` from random starts. The sampler named "auto"
    draws from the machine's law instead. Sources: Hinton, Neural Comput. 14, 1771 (2002); Tieleman, ICML 2008; Melchior, Fischer and
    Wiskott, JMLR 17, 99 (2016); Desjardins et al., AISTATS 2010.

    Examples
    --------
    >>> import hamlearn as hl
    >>> data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=500, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.RBM(hidden=4), engine=hl.infer.Training(epochs=5), check=False)
    >>> machine = hl.draw_systems(post, 1)[0]
    >>> machine
    RestrictedBoltzmannMachine(shape=(3, 3), 4 hidden units)
    >>> hl.simulate(machine, 0.4, draws=3, chains=2, seed=0)["state"].shape
    (2, 3, 3, 3)
    """

    hidden: int = 64
    members: int = 1
    chains: str = "tempered"
    steps: int = 2
    centred: bool = True
    kind: ClassVar[str] = "rbm"
    condition: ClassVar[None] = None
    traits: ClassVar[Traits] = Traits(
        "rbm",
        "a restricted Boltzmann machine",
        density=True,
        compared="held out",
        draw="network",
        groups=("weights", "normaliser"),
        quantities=LOSSES,
        closed=TRAINED,
    )

    def __post_init__(self) -> None:
        for name in ("hidden", "members", "steps"):
            object.__setattr__(self, name, require_whole(getattr(self, name), name))
        choice(self.chains, CHAINS, "chains")
        require_flag(self.centred, "centred")
