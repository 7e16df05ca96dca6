"""Kaufman's solution against published numbers, enumeration and the transfer matrix."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
from exact_oracles import random

from hamlearn.systems import Ising, Potts, exact, lattice
from hamlearn.systems.exact import kaufman
from hamlearn.systems.exact.discrete import Kaufman
from hamlearn.systems.pairs import pairs_of

BETA_C = math.log(1 + math.sqrt(2)) / 2


PUBLISHED_LOG_Z = {
    0.44: {8: 60.0763075, 16: 238.3872472, 32: 951.6421264, 64: 3804.6775594},
    BETA_C: {8: 60.1417808, 16: 238.6422566, 32: 952.6480795, 64: 3808.6722834},
}


@pytest.mark.parametrize("beta", PUBLISHED_LOG_Z)
def test_published_log_z_of_the_torus(beta):
    for size, log_z in PUBLISHED_LOG_Z[beta].items():
        assert exact.log_partition(Ising((size, size)), beta) == pytest.approx(log_z, abs=6e-8)


@pytest.mark.parametrize(("size", "energy", "entropy", "free"), [(24, -1.44025, 0.29611, -2.11215), (16, -1.45317, 0.29180, -2.11531)])
def test_published_thermodynamics_at_the_critical_point(size, energy, entropy, free):
    # The published figures are at β = 0.4407, not at β_c = 0.4406868: U differs by 1e-4.
    result = exact.thermodynamics(Ising((size, size)), 0.4407).isel(beta=0)
    assert float(result.energy) == pytest.approx(energy, abs=6e-6)
    assert float(result.entropy) == pytest.approx(entropy, abs=6e-6)
    assert float(result.free_energy) == pytest.approx(free, abs=6e-6)


def test_published_entropy_8x8():
    result = exact.thermodynamics(Ising((8, 8)), [0.125, 0.25, 0.4407])
    np.testing.assert_allclose(result.entropy, [0.67690, 0.61951, 0.28236], atol=6e-6)


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 3), (6, 4)])
def test_kaufman_matches_enumeration_and_transfer(shape):
    system, betas = Ising(shape, J=1.3), [0.05, 0.3, BETA_C / 1.3, 0.6, 3.0]
    truth = exact.thermodynamics(system, betas)
    result = exact.thermodynamics(system, betas, oracle=Kaufman())
    assert truth.method != result.method == "kaufman"
    for name in ("free_energy", "energy", "entropy"):
        np.testing.assert_allclose(result[name], truth[name], rtol=1e-10)
    np.testing.assert_allclose(result.heat_capacity, truth.heat_capacity, rtol=1e-7, atol=1e-12)


def test_kaufman_antiferromagnet_and_rectangles():
    antiferromagnet = Ising((4, 6), J=-0.8)
    by_product = exact.log_partition(antiferromagnet, 0.7)
    assert Kaufman().applies(antiferromagnet)
    assert exact.log_partition(antiferromagnet, 0.7, oracle=Kaufman()) == pytest.approx(by_product, rel=1e-12)
    np.testing.assert_allclose(exact.log_partition(Ising((12, 40)), 0.5), exact.log_partition(Ising((40, 12)), 0.5), rtol=1e-13)


@pytest.mark.parametrize("J", [(0.7, 1.3), (1.3, 0.2)])
@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (2, 4)])
def test_kaufman_with_a_coupling_per_axis(shape, J):
    system = Ising(shape, J=np.repeat(J, np.prod(shape)))
    assert kaufman.couplings(pairs_of(system))[:2] == J
    energies = exact.state_energies(system)
    for beta in (0.3, 1.0, 300.0):
        with jax.enable_x64(True):
            value = float(kaufman.log_partition(shape, beta * J[0], beta * J[1]))
        shifted = energies - energies.min()
        assert value == pytest.approx(np.log(np.exp(-beta * shifted).sum()) - beta * energies.min(), rel=1e-11)
    large = Ising((20, 14), J=np.repeat(J, 280))
    turned = Ising((14, 20), J=np.repeat(J[::-1], 280))
    assert exact.log_partition(large, 0.4) == pytest.approx(exact.log_partition(turned, 0.4), rel=1e-12)


def test_kaufman_has_no_size_or_temperature_limit():
    result = exact.thermodynamics(Ising((256, 256)), [1e-3, BETA_C, 100.0, 1000.0])
    assert all(np.all(np.isfinite(result[name])) for name in result)
    np.testing.assert_allclose(result.energy[2:], -2, rtol=1e-12)
    assert float(result.entropy[0]) == pytest.approx(math.log(2), abs=1e-5)
    # The infinite lattice: U = −√2 at the critical point, reached as 1/L.
    assert float(result.energy[1]) == pytest.approx(-math.sqrt(2), abs=3e-3)


def test_kaufman_applies_only_where_it_is_true():
    assert Kaufman().applies(Ising((10, 12))) and Kaufman().applies(Potts((10, 12), 2))
    wrong = [
        Ising((10, 12), h=0.1),
        Ising((10, 12), periodic=False),
        Ising((9, 12), J=-1.0),
        Ising((10, 12), J=random(240)),
        Ising((10, 10, 10)),
        Ising(10),
        Ising((1, 10)),
        Ising(lattice.triangular((10, 12))),
        Ising(lattice.hypercubic((10, 12)).pairs_within(1.5)),
        Ising((10, 12), J=0.0),
        Potts((10, 12), 3),
        Potts((10, 12), 2, h=[0.0, 0.1]),
    ]
    assert not any(Kaufman().applies(system) for system in wrong)
