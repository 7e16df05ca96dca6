"""Imaginary-time paths against plain loops, published values, Gaussian algebra and the Schrödinger equation."""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.stats import kstest

import hamlearn as hl
from hamlearn import systems
from hamlearn.errors import HamlearnError
from hamlearn.systems import DoubleWell, Path, Polynomial, System, exact
from statistics_budget import assert_within, spend

WELL = DoubleWell(4.0, 2.8)


def tilted(x):
    """A potential with a name of its own."""
    return x**4 - x + 1


def quartic(lam, v):
    """λ(x² − v²)², as the check values are written."""
    return DoubleWell(4 * lam, v * np.sqrt(4 * lam))


# A new kind of path is one line.
PATHS = {
    "double well": lambda: Path(6, WELL),
    "given width": lambda: Path(5, Polynomial([0.3, -1.0, 0.0, 0.5]), kinetic=2.0, a=0.2),
    "open": lambda: Path(4, Polynomial([0, 0.5]), periodic=False),
    "function": lambda: Path(7, tilted, kinetic=0.5),
    "two slices": lambda: Path(2, WELL, a=0.5),
}
every_path = pytest.mark.parametrize("path", [pytest.param(make, id=name) for name, make in PATHS.items()])


def plain_action(path, x, beta):
    """Σ κ(Δx)²/2a + aV(x), one term at a time."""
    n = path.n_tau
    a = beta / n if path.a is None else path.a
    total = 0.0
    for i in range(n):
        total += a * float(path.potential(np.float64(x[i])))
        if i + 1 < n or path.periodic:
            total += path.kinetic * (x[(i + 1) % n] - x[i]) ** 2 / (2 * a)
    return total


def some_paths(path, *lead, seed=0):
    return np.random.default_rng(seed).normal(size=(*lead, path.n_tau))


@every_path
def test_action_is_the_sum_over_slices(path):
    path = path()
    x = some_paths(path, 3, 4)
    expected = [[plain_action(path, one, 2.5) for one in row] for row in x]
    np.testing.assert_allclose(path.action(x, 2.5), expected, rtol=1e-12)
    assert isinstance(path, System) and path.space.name == "reals" and path.pure_jax
    assert path.action(x[0, 0].tolist(), 2.5) == pytest.approx(expected[0][0])
    at = path.temperature(2.5)
    np.testing.assert_allclose(path.kinetic_part(x) / at + at * path.potential_part(x), expected, rtol=1e-12)
    np.testing.assert_allclose(path.energy(x), path.potential_part(x))


@every_path
def test_action_in_jax_and_torch_and_its_gradient(path):
    path = path()
    x = some_paths(path, 3, seed=1)
    expected = [plain_action(path, one, 1.5) for one in x]
    assert isinstance(path.action(torch.as_tensor(x), 1.5), torch.Tensor)
    np.testing.assert_allclose(path.action(torch.as_tensor(x), 1.5).numpy(), expected, rtol=1e-12)
    with jax.enable_x64(True):
        np.testing.assert_allclose(np.asarray(path.action(jnp.asarray(x), 1.5)), expected, rtol=1e-12)
        gradient = np.asarray(jax.grad(lambda one: path.action(one, 1.5))(jnp.asarray(x[0])))
    for i in range(path.n_tau):
        step = 1e-5 * np.eye(path.n_tau)[i]
        slope = (plain_action(path, x[0] + step, 1.5) - plain_action(path, x[0] - step, 1.5)) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-7)


@every_path
def test_round_trip_through_json(path):
    path = path()
    back = systems.from_dict(json.loads(json.dumps(path.to_dict())), potential=path.potential)
    assert repr(back) == repr(path)
    x = some_paths(path, 5)
    np.testing.assert_array_equal(back.action(x, 3.0), path.action(x, 3.0))


def test_potentials():
    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(WELL(x), 1.0 * (x**2 - 1.96) ** 2, atol=1e-12)
    np.testing.assert_allclose(WELL(x), sum(c * x**k for k, c in enumerate(WELL.coefficients)), atol=1e-12)
    assert WELL.minimum == pytest.approx(1.4) and WELL(0.0) == pytest.approx(3.8416)
    np.testing.assert_allclose(Polynomial([1, -2, 0, 3])(x), x - 2 * x**2 + 3 * x**4, atol=1e-12)
    assert Path(4, WELL).even and Path(4, Polynomial([0, 1])).even and not Path(4, tilted).even


def test_a_function_that_has_no_name_simulates_but_is_not_saved():
    path = Path(4, lambda x: x**2)
    assert path.action(np.ones(4), 1.0) == 4 * 0.25
    with pytest.raises(HamlearnError, match=r"<lambda>.*without a name"):
        path.to_dict()
    numpy_only = Path(4, lambda x: np.asarray(np.cosh(x)))
    assert not numpy_only.pure_jax


def test_a_description_never_imports_or_calls_what_it_names(tmp_path, monkeypatch):
    """Whoever writes a file would choose what runs here."""
    (tmp_path / "hostile_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef V(x): return x**2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    description = Path(4, tilted).to_dict() | {"potential": {"kind": "callable", "name": "hostile_module:V"}}
    with pytest.raises(HamlearnError, match="never makes hamlearn import"):
        systems.from_dict(description)
    states = np.where(np.random.default_rng(0).random((300, 4)) < 0.5, -1, 1)
    data = hl.microstates(states, beta=0.5)
    data.attrs["system"] = json.dumps(description)
    hl.learn(data, hl.models.Autoregressive(hidden=(2,)), engine=hl.infer.Training(epochs=1), check=False)
    assert "hostile_module" not in sys.modules and not (tmp_path / "ran").exists()
    assert systems.from_dict(description, potential=tilted).potential is tilted


MISTAKES = {
    "one slice": (lambda: Path(1, WELL), "n_tau"),
    "no potential": (lambda: Path(4, 3.0), "potential must be DoubleWell"),
    "no mass": (lambda: Path(4, WELL, kinetic=0.0), "kinetic must be a finite number > 0"),
    "negative width": (lambda: Path(4, WELL, a=-0.1), "a must be a finite number > 0"),
    "not elementwise": (lambda: Path(4, lambda x: x.sum()), "act on every x by itself"),
    "fails": (lambda: Path(4, lambda x: x + "1"), "it failed"),
    "unbounded": (lambda: Polynomial([0, 1, 0, -1]), "does not confine"),
    "odd": (lambda: Polynomial([0, 1, 1]), "does not confine"),
    "words": (lambda: Polynomial("x"), "list of numbers"),
    "no well": (lambda: DoubleWell(0.0, 1.0), "lam of a DoubleWell must be a finite number > 0"),
    "other slices": (lambda: Path(4, WELL).action(np.ones(5), 1.0), "4 time slices"),
    "runs away": (lambda: exact.log_partition(Path(4, lambda x: -x), 1.0), "does not confine"),
    "ends of open paths": (lambda: exact.expectations(Path(4, WELL, periodic=False), 1.0), "periodic=True"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


# ---------------------------------------------------------------------- the transfer operator
# N_τ, a, λ, v: log Z, ⟨S⟩, sd S, gap. ⟨S⟩ was published from a finite difference, good to 2e-5.
CHECKS = {
    (16, 0.25, 1, 1.0): (0.2377216, 8.933299, 2.7516, 0.770614),
    (16, 0.5, 1, 1.0): (2.5814010, 10.122023, 2.6091, 0.727132),
    (32, 0.25, 1, 1.0): (0.3878344, 18.160788, 3.8133, 0.770614),
    (64, 0.125, 1, 1.0): (-14.6531732, 34.160964, 5.5170, 0.785981),
    (32, 0.25, 1, 1.4): (-6.1197274, 18.039803, 4.8830, 0.102541),
}


@pytest.mark.parametrize("case", CHECKS)
def test_published_values_of_double_wells(case):
    n_tau, a, lam, v = case
    found = exact.thermodynamics(Path(n_tau, quartic(lam, v), a=a), a * n_tau)
    log_z, action, spread, gap = CHECKS[case]
    assert float(found.log_partition[0]) == pytest.approx(log_z, abs=6e-8)
    assert float(found.action[0]) == pytest.approx(action, abs=2e-5)
    assert float(found.action_variance[0]) ** 0.5 == pytest.approx(spread, abs=6e-5)
    assert float(found.gap[0]) == pytest.approx(gap, abs=6e-7)
    by_beta = exact.thermodynamics(Path(n_tau, quartic(lam, v)), a * n_tau)
    np.testing.assert_allclose(by_beta.action, found.action, rtol=1e-12)


def gaussian(path, beta):
    """Precision matrix of a harmonic path, V = ω²x²/2, built slice by slice."""
    n, a = path.n_tau, path.spacing(beta)
    matrix = np.zeros((n, n))
    for i in range(n if path.periodic else n - 1):
        j = (i + 1) % n
        for p, q, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            matrix[p, q] += sign * path.kinetic / a
    return matrix + a * 2 * path.potential.c[1] * np.eye(n)


HARMONIC = {
    "ring": Path(8, Polynomial([0, 0.7]), kinetic=1.3),
    "open": Path(6, Polynomial([0, 0.4]), periodic=False),
    "three slices": Path(3, Polynomial([0, 0.1]), a=1.0),  # so short that every power of the kernel matters
    "two slices": Path(2, Polynomial([0, 0.3]), kinetic=0.5),
}


@pytest.mark.parametrize("path", HARMONIC.values(), ids=HARMONIC)
def test_the_harmonic_path_is_gaussian(path):
    beta = 3.0
    precision = gaussian(path, beta)
    covariance = np.linalg.inv(precision)
    found = exact.thermodynamics(path, beta)
    log_z = 0.5 * (path.n_tau * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1])
    assert float(found.log_partition[0]) == pytest.approx(log_z, abs=1e-10)
    assert exact.log_partition(path, beta) == pytest.approx(log_z, abs=1e-10)
    assert float(found.action[0]) == pytest.approx(path.n_tau / 2, abs=1e-10)
    assert float(found.action_variance[0]) == pytest.approx(path.n_tau / 2, abs=1e-9)
    if path.periodic:
        assert float(found.squared_position[0]) == pytest.approx(covariance[0, 0], abs=1e-10)
        assert float(found.quartic_position[0]) == pytest.approx(3 * covariance[0, 0] ** 2, abs=1e-10)
        local = exact.expectations(path, beta)
        np.testing.assert_allclose(local.correlation, covariance[0, : path.n_tau // 2 + 1], atol=1e-10)
        peak = np.exp(-(local.position**2) / 2 / covariance[0, 0]) / np.sqrt(2 * np.pi * covariance[0, 0])
        np.testing.assert_allclose(local.density, peak, atol=1e-10)
    draws = exact.sample(path, beta, 4000, seed=1)
    product = np.einsum("di,dj->dij", draws, draws)
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / len(draws))
    assert_within(product.mean(0), covariance, error, what=f"covariance of exact samples of {path!r}")


def test_thermodynamics_are_derivatives_of_log_z():
    path, beta, step = Path(12, Polynomial([0.2, -1.0, 0.0, 0.8]), kinetic=1.4), 4.0, 1e-3

    def log_z(at):
        return exact.log_partition(path, at) + 6 * np.log(1.4 * 12 / (2 * np.pi * at))

    found = exact.thermodynamics(path, [beta, 2.0]).isel(beta=0)
    low, middle, high = (log_z(beta + k * step) for k in (-1, 0, 1))
    assert float(found.energy) == pytest.approx((low - high) / (2 * step), rel=1e-6)
    assert float(found.heat_capacity) == pytest.approx(beta**2 * (low - 2 * middle + high) / step**2, rel=1e-4)
    assert float(found.free_energy) == pytest.approx(-middle / beta)
    assert float(found.entropy) == pytest.approx(middle + beta * float(found.energy))


def test_paths_become_quantum_mechanics():
    # log Z → log Σ exp(−βE) with an error of order a²: halving a divides it by four.
    beta, spectrum = 4.0, exact.schroedinger(WELL, levels=12)["energy"].values
    limit = np.log(np.exp(-beta * spectrum).sum())
    errors = [exact.log_partition(Path(n, WELL), beta) + n / 2 * np.log(n / (2 * np.pi * beta)) - limit for n in (64, 128)]
    assert abs(errors[1]) < 5e-3 and errors[0] / errors[1] == pytest.approx(4, rel=0.02)
    gaps = [float(exact.thermodynamics(Path(n, WELL), 20.0).gap[0]) for n in (400, 800)]
    assert (4 * gaps[1] - gaps[0]) / 3 == pytest.approx(spectrum[1] - spectrum[0], rel=1e-4)


def test_schroedinger_levels():
    harmonic = exact.schroedinger(Polynomial([0, 2.0]), kinetic=4.0, levels=6)  # ω = √(4/4) = 1
    np.testing.assert_allclose(harmonic.energy, np.arange(6) + 0.5, atol=1e-6)
    # The quartic oscillator p²/2 + x⁴: Banerjee et al., Proc. R. Soc. A 360, 575 (1978), scaled from p² + x⁴ by 2^(−2/3).
    quartic_levels = np.array([1.0603620905, 3.7996730298, 7.4556979380]) * 2 ** (-2 / 3)
    np.testing.assert_allclose(exact.schroedinger(Polynomial([0, 0, 0, 1]), levels=3).energy, quartic_levels, atol=1e-6)
    waves = harmonic.wavefunction
    width = float(waves.position[1] - waves.position[0])
    np.testing.assert_allclose(width * waves.values @ waves.values.T, np.eye(6), atol=1e-9)
    with pytest.raises(HamlearnError, match="levels"):
        exact.schroedinger(WELL, levels=0)


# ---------------------------------------------------------------------- exact samples
def test_exact_samples_have_the_exact_distribution():
    path, beta = Path(16, WELL), 6.0
    draws = exact.sample(path, beta, 6000, seed=3)
    assert draws.shape == (6000, 16) and draws.dtype == np.float64
    known = exact.thermodynamics(path, beta).isel(beta=0)
    local = exact.expectations(path, beta)
    action = path.action(draws, beta)
    assert_within(action.mean(), known.action, np.sqrt(float(known.action_variance) / 6000), what="action of exact samples")
    cumulative = np.cumsum(local.density.values) * float(local.position[1] - local.position[0])
    grid = local.position.values + float(local.position[1] - local.position[0]) / 2
    fine = exact.expectations(Path(16, WELL), beta)  # the same call gives the same answer
    assert fine.identical(local)
    p_values = [kstest(draws[:, t], lambda x: np.interp(x, grid, cumulative)).pvalue for t in (0, 7, 15)]
    assert min(p_values) * 3 > spend()
    moments = np.stack([draws[:, 0] * draws[:, t] for t in (1, 3, 8)], 1)
    assert_within(moments.mean(0), local.correlation.values[[1, 3, 8]], moments.std(0) / np.sqrt(6000), what="correlators of samples")
    # Both links that meet at the seam are like any other.
    links = np.roll(draws, -1, 1) - draws
    assert_within((links**2).mean(0), (links**2).mean(), (links**2).std(0) / np.sqrt(6000), what="squared links, slice by slice")
    assert len(np.unique(draws)) == draws.size, "values are continuous, not points of a grid"
    np.testing.assert_array_equal(draws, exact.sample(path, beta, 6000, seed=3))


def test_which_method():
    assert exact.method(Path(4, WELL)) == "operator" and exact.require(Path(4, WELL)) == "operator"
    with pytest.raises(HamlearnError, match="enumeration needs"):
        exact.state_energies(Path(4, WELL))
