"""One small posterior of every kind and way of making one, for what reports say of them; adding a kind adds a line."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import xarray as xr
from contracts.own import CornerFamily, Corners, Washboard, WashboardFamily
from posteriors import SQUARE, drawn, glass
from posteriors import posterior as cached

import hamlearn as hl

LEARN = partial(hl.learn, seed=0)
TRAINING = hl.infer.Training(epochs=2)
TORUS = hl.systems.Ising((4, 4))
WELL = hl.systems.Path(8, hl.systems.DoubleWell(4.0, 2.8))
FREE = hl.systems.ScalarField((2, 3), m2=1.0, lam=0.0)
TIED = hl.models.Couplings(SQUARE, tie="uniform", fields=None)


@cache
def ising(beta: float = 0.3, n: int = 1500) -> xr.Dataset:
    return drawn(TORUS, beta, n, seed=1)


@cache
def well(beta: float) -> xr.DataTree:
    paths = hl.microstates(hl.systems.exact.sample(WELL, beta, 600, seed=int(beta)), space="reals", beta=beta)
    return LEARN(paths, hl.models.PolynomialAction((2, 4)))


@cache
def paths(beta: float = 5.0, n: int = 600) -> xr.Dataset:
    return hl.microstates(hl.systems.exact.sample(WELL, beta, n, seed=int(beta)), space="reals", beta=beta)


@cache
def networks(beta: float, members: int) -> xr.DataTree:
    return LEARN(paths(beta), hl.models.Autoregressive(hidden=(8,), members=members), engine=TRAINING)


def _rotors() -> xr.DataTree:
    angles = np.random.default_rng(0).vonmises(0.0, 1.0, size=(1500, 3, 3)) % (2 * np.pi)
    return LEARN(hl.microstates(angles, space="angles", beta=0.7), TIED, engine="laplace", check=False)


def _vectors() -> xr.DataTree:
    data = hl.simulate(hl.systems.Heisenberg((3, 3)), beta=0.7, draws=1500, chains=1, seed=0, thin=3, sampler="overrelaxation")
    return LEARN(data, TIED, engine="laplace", check=False)


def _open_field() -> xr.DataTree:
    generator = np.random.default_rng(0)
    fields = generator.choice([-1, 1], size=(1500, 4, 4)) * generator.normal(1.0, 0.3, size=(1500, 4, 4))
    model = hl.models.PolynomialAction((2, 4), neighbour="product", periodic=False)
    return LEARN(hl.microstates(fields, space="reals", beta=1.0), model, check=False)


def _thermal() -> xr.DataTree:
    field = hl.systems.ThermalField((4, 4), [0.0, 0.5])
    sets = [hl.microstates(hl.systems.exact.sample(field, beta, 600, seed=int(beta)), space="reals", beta=beta) for beta in (2.0, 3.0)]
    return LEARN(sets, hl.models.PolynomialAction((2,), family="thermal"))


def _dcl() -> xr.DataTree:
    model = hl.models.DCL(hl.models.Autoregressive(hidden=(8,)), hl.models.Extensive(1, 1, (2,)), members=4, labels=400, draws=600)
    return LEARN(ising(), model, engine=TRAINING, check=False)


def _flow() -> xr.DataTree:
    return LEARN(
        hl.microstates(paths()["state"].values[0], space="reals", beta=5.0), hl.models.Flow("affine", layers=2, hidden=4), engine=TRAINING
    )


def _coarse() -> xr.DataTree:
    """Networks of the Ising model, which classical predictions reweight."""
    return LEARN(ising(), hl.models.Autoregressive(hidden=(8,), members=2), engine=TRAINING)


def _late() -> xr.DataTree:
    return hl.learn(glass(), hl.models.Couplings(SQUARE), engine="laplace", check=False, calibrate=False, seed=0)


def _nuts() -> xr.DataTree:
    return LEARN(drawn(hl.systems.Ising(SQUARE), 0.3, 1500, 0), TIED, engine=hl.infer.NUTS(draws=100, chains=2, warmup=100), check=False)


def _sparse() -> xr.DataTree:
    model = hl.models.Couplings(None, prior="spike_slab", fields=None)
    return LEARN(glass(), model, likelihood="pseudo", engine=hl.infer.Gibbs(draws=100, chains=2, warmup=100), check=False)


def _runaway() -> xr.DataTree:
    """Gaussian fields, whose fourth power has no strength: most draws confine nothing."""
    fields = np.random.default_rng(0).normal(size=(400, 3, 3))
    return LEARN(hl.microstates(fields, space="reals", beta=1.0), hl.models.PolynomialAction((2, 4, 6)))


def _own() -> xr.DataTree:
    """A family of a user's own, on a lattice that no oracle lists."""
    data = hl.simulate(Corners(hl.systems.lattice.hypercubic((5, 5)), 0.2, 0.2, 0.1), beta=1.0, draws=200, chains=8, seed=0)
    return LEARN(data, CornerFamily(), check=False)


def _scale() -> xr.DataTree:
    """What was programmed is known, the temperature is not."""
    return LEARN(glass(), hl.models.Scale(hl.systems.EdwardsAnderson(SQUARE, seed=1)))


def _own_reals() -> xr.DataTree:
    data = hl.simulate(Washboard(hl.systems.lattice.hypercubic(6), 1.0, 0.8, 2.5), beta=1.0, draws=400, chains=8, seed=0)
    return LEARN(data, WashboardFamily())


def _groups() -> xr.DataTree:
    small = hl.systems.lattice.hypercubic((3, 3))
    data = {name: drawn(hl.systems.Ising(small), 0.3, rows, seed) for seed, (name, rows) in enumerate({"anna": 200, "ben": 600}.items())}
    model = hl.models.Hierarchical(hl.models.Couplings(small, tie="uniform", fields=None), by="subject")
    return LEARN(data, model, engine=hl.infer.Pooled(draws=500, warmup=200))


def _action(hidden: int) -> Callable[[], xr.DataTree]:
    model = hl.models.Autoregressive(hidden=(hidden,))
    return lambda: hl.infer.approximate(TORUS, 0.3, model, engine=hl.infer.Variational(steps=5), seed=0)


KINDS: dict[str, Callable[[], xr.DataTree]] = {
    "NUTS": _nuts,
    "sparse": _sparse,
    "without check and calibration": _late,
    "two temperatures": lambda: LEARN([glass(), glass(beta=0.8)], hl.models.Couplings(SQUARE), engine="laplace"),
    "undeclared beta": partial(cached, "undeclared beta"),
    "q states": partial(cached, "q states"),
    "rotors": _rotors,
    "vectors": _vectors,
    "cluster_expansion": lambda: LEARN(ising(), hl.models.ClusterExpansion(window=2), check=False),
    "local energy": lambda: LEARN(ising(), hl.models.LocalInteraction(window=2, hidden=(2,), members=2), check=False),
    "action of networks": lambda: LEARN([paths(2.0), paths(4.0)], hl.models.NetworkAction((2, 4), decay=10.0), check=False),
    "extensive": lambda: hl.infer.distill(ising(), TORUS.energy(ising()["state"].values), hl.models.Extensive(1, 1, hidden=(2,))),
    "consistent": _dcl,
    "one network": lambda: LEARN(ising(), hl.models.Autoregressive(hidden=(8,)), engine=TRAINING),
    "two networks": _coarse,
    "machines": lambda: LEARN(ising(), hl.models.RBM(hidden=3, members=2), engine=TRAINING),
    "machine of reals": lambda: LEARN(hl.simulate(FREE, beta=1.0, draws=500, chains=4, seed=0), hl.models.GaussianRBM(hidden=3)),
    "networks of paths": lambda: networks(5.0, 2),
    "flow": _flow,
    "trained on an action": _action(8),
    "path": lambda: well(10.0),
    "open field": _open_field,
    "thermal field": _thermal,
    "nothing confines": _runaway,
    "a user's own": _own,
    "a user's own of reals": _own_reals,
    "scale of a known system": _scale,
    "extrapolated action": lambda: hl.extrapolate([well(10.0), well(20.0)], beta=40.0),
    "extrapolated couplings": lambda: hl.extrapolate(cached("tied"), beta=0.6),
    "groups": _groups,
    "joined networks": lambda: hl.extrapolate([networks(5.0, 2), networks(10.0, 1)], beta=6.0),
}

SLOW = ("NUTS", "consistent", "a user's own of reals")  # seconds of compilation each


@cache
def posterior(kind: str) -> xr.DataTree:
    """A posterior, made once."""
    return KINDS[kind]()


BONDS = ("J[0, 3]", "J[1, 4]")
LABELS: dict[str, tuple[str, ...]] = {
    "NUTS": BONDS,
    "sparse": ("J[0, 1]", "J[7, 8]", "included[0, 2]"),
    "without check and calibration": (*BONDS, "h[0]", "h[8]"),
    "two temperatures": (*BONDS, "h[0]"),
    "undeclared beta": ("J[0, 1]", "J[5, 6]", "h[6]"),
    "q states": ("J[0, 3, 0, 0]", "J[0, 3, 2, 1]", "h[8, 2]"),
    "rotors": BONDS,
    "vectors": BONDS,
    "cluster_expansion": ("K[σ(0,0)]", "included[σ(0,0)σ(0,1)]"),
    "local energy": ("table[0]", "strength[pair[0,1]]"),
    "action of networks": ("c[2]", "kinetic", "step_weight[0]", "weight[1]"),
    "extensive": ("probe_energy[0]",),
    "consistent": ("probe_energy[0]",),
    "machine of reals": ("mu2", "spectrum[0]", "inverse_propagator[0,1]", "weights[5, 2]"),
    "path": ("c[2]", "c[4]", "kinetic"),
    "open field": ("c[2]", "kinetic"),
    "thermal field": ("c[2]", "gradient", "kinetic"),
    "nothing confines": ("c[6]", "kinetic"),
    "a user's own": ("J", "h", "K"),
    "scale of a known system": ("scale",),
    "extrapolated action": ("c[2]", "kinetic"),
    "extrapolated couplings": BONDS,
    "groups": ("J[anna, 0, 3]", "J[ben, 1, 4]", "J_mean[0, 3]", "J_spread[1, 4]"),
    "joined networks": ("weight[0]", "weight[1]"),
}
"""What ArviZ calls some variables of a kind, where they are not the one number of a network."""
