"""What a restricted Boltzmann machine of real fields is as a model, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hamlearn.arguments import require_whole
from hamlearn.models.traits import Model, Traits


@dataclass(frozen=True)
class GaussianRBM(Model):
    """A restricted Boltzmann machine of real fields with Gaussian hidden units: H(φ) = ½ φᵀKφ with K = μ² − W Wᵀ.

    A quadratic form whose eigenvalues are all the same, μ², but for as many lower ones as there are hidden units. As many of these as
    sites represent every Gaussian of mean zero exactly; fewer keep the modes that fluctuate most and cut the rest of the spectrum off at
    μ². Members are :class:`hamlearn.systems.GaussianMachine` systems, whose log Z, thermodynamics and draws are exact at every β.

    The maximum of the likelihood is known in closed form (that of probabilistic principal components), and so is the posterior: the
    unrestricted Gaussian's, of which every draw is replaced by the machine that is nearest to it. Its prior, ``|K|⁻¹`` of the unrestricted
    form, is the one under which the variance of every fixed combination of sites has intervals that cover exactly.

    Parameters
    ----------
    hidden : int, optional
        Hidden units; by default as many as sites.

    Raises
    ------
    HamlearnError
        If the number is out of range.

    Notes
    -----
    The posterior holds ``spectrum``, the eigenvalues of K in ascending order, ``inverse_propagator``, the stiffness ``1/⟨|φ_k|²⟩`` of every
    momentum of the sites' grid, ``mu2`` and ``weights``. Weights are known up to a rotation of the hidden units only; those of
    the draws are rotated to be nearest to those of the optimum. Sorted eigenvalues that are closer to each other than their error bars
    repel each other in every sample, so that their intervals do not cover: read ``inverse_propagator`` where K has (nearly) equal
    eigenvalues, as that of a lattice field has.

    Fields have mean zero: take another mean away before (``data["state"] - data["state"].mean(("chain", "draw"))``). Several
    temperatures are learned together. Sources: Aarts, Lucini and Park, Phys. Rev. D 109, 034521 (2024); Tipping and Bishop, J. R.
    Stat. Soc. B 61, 611 (1999).

    Examples
    --------
    >>> import hamlearn as hl
    >>> field = hl.systems.ScalarField((4,), m2=1.0, lam=0.0)  # whose modes have 1, 3, 3 and 5
    >>> data = hl.simulate(field, beta=1.0, draws=5000, chains=2, seed=0)
    >>> post = hl.learn(data, hl.models.GaussianRBM(), check=False)
    >>> post["posterior"]["inverse_propagator"].mean(("chain", "draw")).values.round(1).tolist()
    [1.0, 3.0, 5.1, 3.0]
    >>> hl.draw_systems(post, 1)[0]
    GaussianMachine(shape=(4,), 4 hidden units)
    """

    hidden: int | None = None
    kind: ClassVar[str] = "gaussian_rbm"
    traits: ClassVar[Traits] = Traits(
        "gaussian_rbm",
        "a Gaussian restricted Boltzmann machine",
        closed="has a posterior in closed form, and no parameters with priors of their own",
        zero="it is zero where the field is.",
    )

    def __post_init__(self) -> None:
        if self.hidden is not None:
            object.__setattr__(self, "hidden", require_whole(self.hidden, "hidden"))
