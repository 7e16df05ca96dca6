"""Data that others measured, against figures that others published; skipped where ``HAMLEARN_DATA`` is unset."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import learn, posteriors
from hamlearn.systems import lattice


def test_neurons_pairwise_model_has_the_published_divergence(data_dir):
    """Maoz & Schneidman's example: pairwise maximum-entropy model, KL to held-out data 0.106 bits, entropy 6.464."""
    import h5py

    with h5py.File(data_dir / "neurons_15" / "example15.mat") as file:
        spikes = file["spikes15"][()]
    order = np.random.default_rng(0).permutation(len(spikes))
    train, test = spikes[order[:20_000]], spikes[order[20_000:]]
    post = learn(hl.microstates(train, space="bits"), hl.models.Couplings(None), engine="map")
    bound = posteriors.bound_of(post)
    best = bound.system(bound.from_values(post["point"]["J"].values, post["point"]["h"].values))
    states, probability = hl.systems.exact.distribution(best, 1.0)
    place = 2 ** np.arange(15)
    model = np.zeros(2**15)
    model[((states.reshape(-1, 15) + 1) // 2) @ place] = probability
    observed = np.bincount(test @ place, minlength=2**15) / len(test)
    seen = observed > 0
    divergence = float((observed[seen] * np.log2(observed[seen] / model[seen])).sum())
    entropy = float(-(model[model > 0] * np.log2(model[model > 0])).sum())
    # Another random half moves the divergence by about 0.003 bits.
    assert divergence == pytest.approx(0.106, abs=0.006)
    assert entropy == pytest.approx(6.464, abs=0.03)


def test_annealer_wiring_from_ten_thousand_readouts(data_dir):
    """Measured elsewhere with unregularised pseudo-likelihood: precision 0.90 among the top 142 from 10 000 samples."""
    full = hl.microstates(data_dir / "dwave2x_lanl_62q" / "dwave_samples.zip", space="spins", counts=0)
    counts = full["count"].values[0]
    few = np.random.default_rng(1).multinomial(10_000, counts / counts.sum())
    data = hl.microstates(full["state"].values[0, few > 0], space="spins", counts=few[few > 0])
    post = learn(data, hl.models.Couplings(None, prior=hl.models.Normal(1.0)), engine="map", likelihood="pseudo")
    edges = np.loadtxt(data_dir / "dwave2x_lanl_62q" / "chimera_edges_142.csv", delimiter=",", skiprows=1).astype(int)[:, :2]
    wired = {tuple(sorted(edge)) for edge in edges.tolist()}
    strength = hl.infer.interaction_strength(post)
    top = np.argsort(-strength.values)[:142]
    hits = sum((int(strength["site_i"][b]), int(strength["site_j"][b])) in wired for b in top)
    assert hits / 142 > 0.85


def test_atoms_order_antiferromagnetically_along_the_sweep(data_dir):
    """Effective classical couplings of Rydberg snapshots: negative, growing along the sweep."""
    couplings = {}
    for rate, steps in ((21, (0, 23)), (120, (23,))):
        archive = np.load(data_dir / "rydberg_kz_16x16" / f"KZ_data_16x16_{rate}_MHz_per_us.npz")
        for step in steps:
            shots = archive["rydberg_data"][:, :, step].transpose(2, 0, 1)
            model = hl.models.Couplings(lattice.hypercubic((16, 16), periodic=False), tie="uniform", fields="uniform")
            post = learn(hl.microstates(shots, space="bits"), model, engine="laplace")
            couplings[rate, step] = float(post["point"]["J"][0]), float(post["posterior"]["J"][..., 0].std())
    assert all(value < -3 * spread for value, spread in couplings.values())
    assert couplings[21, 23][0] < couplings[21, 0][0] - 0.1
    assert couplings[21, 23][0] == pytest.approx(-0.36, abs=0.15)
