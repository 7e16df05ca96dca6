"""Compiled code is given back (a long notebook needs that, see the page on robustness), and every verb works as before."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import hamlearn as hl

RING, GLASS = hl.systems.Ising(3), hl.systems.EdwardsAnderson((3, 3), seed=0)
NUTS = hl.infer.NUTS(draws=4, warmup=4, chains=1)  # its kernel is kept, and was traced before

FAMILIES = {
    "couplings": (RING, hl.models.Couplings(RING.lattice, fields=None), NUTS),
    "clusters": (GLASS, hl.models.ClusterExpansion(window=2), "auto"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_learned_and_predicts_again_after_compiled_code_was_given_back(name):
    system, model, engine = FAMILIES[name]
    data, found = hl.microstates(hl.systems.exact.sample(system, 0.5, 120, seed=0), space="spins", beta=0.5, independent=True), []
    for _ in range(2):
        post = hl.infer.learn(data, model, engine=engine, seed=0)
        found.append(hl.predict(post, beta=0.5, observables=["energy"], draws=2, seed=0)["energy"].sel(quantity="mean").values)
        jax.clear_caches()
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


def test_paths_are_simulated_and_learned_again():
    system, found = hl.systems.Path(6, hl.systems.DoubleWell(1.0, 1.0)), []
    for _ in range(2):
        data = hl.simulate(system, beta=0.5, draws=40, chains=2, seed=0)
        post = hl.infer.learn(data, hl.models.PolynomialAction(powers=(2, 4)), seed=0)
        found.append((data["state"].values, hl.verdict(post).summary))
        jax.clear_caches()
    (states, said), (again, same) = found
    assert np.array_equal(states, again) and said == same
