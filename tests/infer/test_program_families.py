"""Every family whose unknowns are parameters with priors is a program: a user's own NUTS agrees with ours, and comes back to all verbs."""

from dataclasses import dataclass

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from contracts.own import CornerFamily, Corners, Washboard, WashboardFamily
from numpyro.infer import MCMC, NUTS

import hamlearn as hl
from hamlearn import statistics
from hamlearn.infer import families
from hamlearn.systems import exact, lattice
from statistics_budget import assert_within

SQUARE = lattice.hypercubic((3, 3))
WELL = hl.systems.Path(8, hl.systems.DoubleWell(4.0, 2.8))


def drawn(system, beta, n=400):
    return hl.microstates(exact.sample(system, beta, n, seed=1), space=system.space, beta=beta)


def glass():
    return hl.simulate(hl.systems.Ising((3, 3), h=0.1), beta=0.3, draws=400, chains=1, seed=0, sampler="exact")


def rotors():
    angles = np.random.default_rng(0).vonmises(0.0, 1.0, size=(400, 3, 3)) % (2 * np.pi)
    return hl.microstates(angles, space="angles", beta=0.7)


def fields():
    values = np.random.default_rng(0).normal(size=(600, 3, 3))
    return hl.microstates(values, space="reals", beta=1.0)


def corners():
    return hl.simulate(Corners(SQUARE, 0.2, 0.2, 0.1), beta=1.0, draws=400, chains=1, seed=0, sampler="metropolis", thin=20)


def vectors():
    return hl.simulate(hl.systems.Heisenberg((3, 3)), beta=0.7, draws=400, chains=1, seed=0, thin=3, sampler="overrelaxation")


def thermal():
    return [drawn(hl.systems.ThermalField((4, 4), [0.0, 0.5], kinetic=1.2, gradient=0.7), beta) for beta in (2.0, 3.0)]


def ranged():
    return hl.simulate(hl.systems.RangedField((8,), [1.0, 0.3], [0, 0.5], path=True), beta=4.0, draws=400, chains=1, seed=0, thin=4)


@dataclass(frozen=True, eq=False, repr=False)
class KnownWave(hl.models.Family):
    """Two strengths; the wave number is known."""

    def system(self, lattice, m, g):
        return Washboard(lattice, m, g, 2.5)


def washboard():
    return hl.simulate(Washboard(lattice.hypercubic(6), 1.0, 0.8, 2.5), beta=1.0, draws=400, chains=4, seed=0, thin=4)


OPEN = {
    "couplings and a field": (glass, hl.models.Couplings(SQUARE, tie="uniform", fields="uniform"), ("J", "h")),
    "couplings of rotors": (rotors, hl.models.Couplings(SQUARE, tie="uniform", fields=None), ("J",)),
    "a path": (lambda: drawn(WELL, 5.0), hl.models.PolynomialAction((2, 4)), ("kinetic", "c")),
    "a field of known kinetic term": (fields, hl.models.PolynomialAction((2,), kinetic=0.1, neighbour="product"), ("c",)),
    "a user's own": (corners, CornerFamily(), ("J", "h", "K")),
    "couplings of vectors": (vectors, hl.models.Couplings(SQUARE, tie="uniform", fields=None), ("J",)),
    "a thermal field": (thermal, hl.models.PolynomialAction((2,), family="thermal"), ("kinetic", "gradient", "c")),
    "a range of two": (ranged, hl.models.PolynomialAction((2,), range=2, prior="normal"), ("kinetic", "c")),
    "a user's own of reals": (washboard, KnownWave(prior={"g": dist.StudentT(4, 0, 1)}), ("m", "g")),
}
SHOWN = ("couplings and a field", "a path", "a user's own")  # predicted and reported, too: pages of all kinds are looked at elsewhere


@pytest.mark.parametrize("name", OPEN)
def test_a_users_nuts_agrees_with_ours_and_comes_back(name, tmp_path):
    make, model, sites = OPEN[name]
    data = make()
    program = hl.infer.program(data, model, seed=3)
    with jax.enable_x64(True):
        # Dense: strengths of an action are so correlated that, else, the last bit decided whether 600 draws were worth 400.
        mcmc = MCMC(NUTS(program.model, dense_mass=True), num_warmup=150, num_samples=600, progress_bar=False)
        mcmc.run(jax.random.key(1))
    assert {*sites, "theta"} == set(mcmc.get_samples())
    post = hl.from_samples(mcmc, program, check=False)
    ours = hl.learn(data, model, engine=hl.infer.NUTS(draws=400, chains=1, warmup=150), check=False, seed=2)
    (names, own), (others, known) = (families.of(one).parameters(one) for one in (post, ours))
    assert names == others == program.parameter_names and set(sites) <= set(post["posterior"])
    error = np.hypot(statistics.standard_error(own), statistics.standard_error(known))
    assert_within(own.mean((0, 1)), known.mean((0, 1)), error, f"posterior means of {name} by a user's NUTS and ours")
    np.testing.assert_allclose(own.std((0, 1)), known.std((0, 1)), rtol=0.3)

    records = [hl.infer.provenance(one) for one in (post, ours)]
    assert records[0].likelihood == records[1].likelihood == program.likelihood and records[0].engine.name == "external"
    assert records[0].calibration.basis == records[1].calibration.basis and records[0].seed == 3
    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert hl.verdict(loaded).level == hl.verdict(post).level != "do not believe"
    if name not in SHOWN:
        return
    beta = float((data[0] if isinstance(data, list) else data)["beta"])
    curve = hl.predict(loaded, beta=[beta], observables=["energy", "heat_capacity"], draws=4)
    assert all(np.isfinite(one.sel(quantity="mean")).all() for one in curve.data_vars.values() if "quantity" in one.dims)
    assert "<html" in hl.report(loaded, tmp_path / "page.html", prediction=curve).read_text()


def test_parameters_come_back_in_the_shape_that_a_posterior_has(tmp_path):
    """Numbers without an axis, as in the tree of a posterior, and arrays flat or not."""
    program = hl.infer.program(corners(), CornerFamily())
    theta = np.random.default_rng(0).multivariate_normal(program.optimum, program.covariance, size=(2, 30))
    first = hl.infer.from_samples({"theta": theta}, program)
    again = hl.infer.from_samples(xr.DataTree.from_dict({"/posterior": first["posterior"].to_dataset()}), program)
    assert again["posterior"].to_dataset().equals(first["posterior"].to_dataset())
    np.testing.assert_array_equal(first["posterior"]["K"].values, theta[..., program.parameter_names.index("K")])


CLOSED = {
    "terms that may not exist": (hl.models.ClusterExpansion(window=2), "does not know which terms exist"),
    "networks on windows": (hl.models.LocalInteraction(window=2), "has weights of trained networks"),
    "networks of paths": (hl.models.NetworkAction(), "is solved for, and with it the form"),
    "extensive networks": (hl.models.Extensive(1, 1), "has weights of trained networks"),
    "distilled": (hl.models.DCL(), "has weights of trained networks"),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_a_family_lacks_is_named(name):
    model, words = CLOSED[name]
    with pytest.raises(hl.HamlearnError, match=words):
        hl.infer.program(glass(), model)


CHOSEN = {"score": lambda: drawn(WELL, 5.0), "exact": lambda: drawn(hl.systems.Path(24, hl.systems.DoubleWell(4.0, 2.8)), 3.0)}


@pytest.mark.parametrize("likelihood", CHOSEN)
def test_a_program_has_the_likelihood_that_learn_takes(likelihood):
    """Whoever makes the draws: where score matching is efficient, and where it is not."""
    data, model = CHOSEN[likelihood](), hl.models.PolynomialAction((2, 4))
    program = hl.infer.program(data, model)
    post = hl.infer.learn(data, model)
    assert program.likelihood == hl.infer.provenance(post).likelihood == likelihood
    draws, point = families.of(post).parameters(post)[1], post["point"].to_dataset()
    np.testing.assert_allclose(program.optimum, np.concatenate([np.atleast_1d(point[name]) for name in ("kinetic", "c")]), rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(program.covariance)), draws.std((0, 1)), rtol=0.1)


@pytest.mark.parametrize(("make", "model"), [(CHOSEN["score"], hl.models.PolynomialAction((2, 4))), OPEN["a thermal field"][:2]])
def test_scores_are_sampled_as_the_normal_of_their_sandwich(make, model):
    """The loss of a linear action is quadratic: calibrated, it has the scale of the scatter of scores and no other."""
    program = hl.infer.program(make(), model)
    away = np.random.default_rng(0).multivariate_normal(np.zeros(len(program.optimum)), program.covariance, size=5)
    with jax.enable_x64(True):
        density = [float(program.log_density(program.optimum + one)) for one in (0 * away[0], *away)]
    expected = -0.5 * np.einsum("ni,ij,nj->n", away, np.linalg.inv(program.covariance), away)
    assert program.likelihood == "score"
    np.testing.assert_allclose(np.array(density[1:]) - density[0], expected, rtol=1e-6)


def test_a_loss_without_a_scale_is_no_program():
    for model in (hl.models.PolynomialAction((2,), family="thermal"), WashboardFamily()):
        data = fields() if isinstance(model, hl.models.PolynomialAction) else washboard()
        with pytest.raises(hl.HamlearnError, match="no natural scale"):
            hl.infer.program(data, model, calibrate=False)


@dataclass(frozen=True, eq=False, repr=False)
class OwnVectors(hl.models.Family):
    """One coupling of unit vectors."""

    def system(self, lattice, J):
        return hl.systems.VectorSpins(lattice, J)


def test_a_family_of_vectors_says_what_it_lacks():
    with pytest.raises(hl.HamlearnError, match="no likelihood of vectors"):
        hl.infer.program(vectors(), OwnVectors())
