"""Training on microstates that are read from disk block by block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

import hamlearn as hl
from hamlearn import data as microstate_data
from hamlearn import storage
from hamlearn.data import excerpt, fingerprint, on_disk, open_microstates, split_by_beta
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors, streaming, training_data
from hamlearn.infer.engines.neural import torch_training
from hamlearn.infer.engines.neural.torch_batches import Streamed
from hamlearn.systems import SPINS

Training = hl.infer.Training
ISING = hl.systems.Ising((4, 4))
SMALL = hl.models.Autoregressive(hidden=16, symmetry=["z2"])
CHUNK = 250


@pytest.fixture(scope="module")
def simulated():
    return hl.simulate(ISING, beta=0.4, draws=10_000, chains=2, seed=0)


@pytest.fixture(scope="module")
def path(simulated, tmp_path_factory):
    target = tmp_path_factory.mktemp("streaming") / "states.zarr"
    simulated.to_zarr(target, zarr_format=2, consolidated=False, encoding={"state": {"chunks": (1, CHUNK, 4, 4)}})
    return target


def streamed(path, memory, share=0.1):
    sets = split_by_beta(open_microstates(path))
    where = [streaming.regions(part.sizes["chain"], part.sizes["draw"], share, 1.0) for part in sets]
    return [streaming.blocks(sets, SPINS, [pair[side] for pair in where], memory) for side in (0, 1)]


def test_what_is_opened_stays_on_disk_and_is_the_same(simulated, path, tmp_path):
    written = storage.write_dataset(simulated, tmp_path / "states.nc")
    for file in (path, written):
        opened = open_microstates(file)
        assert on_disk(opened) and fingerprint([opened]) == fingerprint([simulated]) and on_disk(opened)
        np.testing.assert_array_equal(opened["state"][1, 5:9].values, simulated["state"][1, 5:9].values)
        opened.close()
    with pytest.raises(HamlearnError, match="can be read piece by piece"):
        np.save(tmp_path / "states.npy", simulated["state"].values)
        open_microstates(tmp_path / "states.npy")
    with pytest.raises(HamlearnError, match="no such file"):
        open_microstates(tmp_path / "nothing.zarr")


def test_every_row_is_seen_once_in_an_order_of_its_own(simulated, path):
    train, heldout = streamed(path, memory=100_000)
    rows = Streamed(train, conditioned=False)
    expected = (simulated["state"].values[:, :9000].reshape(-1, 16) + 1) // 2
    orders = []
    for seed in (1, 2, 1):
        sizes, seen = [], []
        for states, context, weight in rows.batches(torch.Generator().manual_seed(seed), 300):
            assert context is None and weight is None
            sizes.append(len(states))
            seen.append(states.numpy())
        assert sizes == [300] * 60
        orders.append(np.concatenate(seen))
    sort = lambda array: array[np.lexsort(array.T)]
    for order in orders:
        np.testing.assert_array_equal(sort(order), sort(expected))
    assert np.array_equal(orders[0], orders[2]) and not np.array_equal(orders[0], orders[1])
    kept = np.concatenate([states.numpy() for states, *_ in Streamed(heldout, conditioned=False).pieces(64)])
    np.testing.assert_array_equal(sort(kept), sort((simulated["state"].values[:, 9000:].reshape(-1, 16) + 1) // 2))


def test_neighbours_in_the_file_are_scattered_over_minibatches(tmp_path):
    """Rows that carry their own number, in binary: a minibatch should hold rows of many blocks."""
    number = np.arange(8192)
    states = 2 * ((number[:, None] >> np.arange(16)) & 1) - 1
    hl.microstates(states, "spins", 0.3).to_zarr(
        tmp_path / "rows.zarr", zarr_format=2, consolidated=False, encoding={"state": {"chunks": (1, 64, 16)}}
    )
    train, _ = streamed(tmp_path / "rows.zarr", memory=150_000)
    batches = [batch[0].numpy() @ (1 << np.arange(16)) for batch in Streamed(train, False).batches(torch.Generator().manual_seed(0), 100)]
    blocks = np.mean([len(np.unique(batch // 64)) for batch in batches])
    # 75 kB hold 36 blocks of 64 rows (of 16 bytes and 16 more beside); 100 rows of 36 blocks miss few of them.
    assert blocks > 20, blocks
    spread = np.mean([batch.std() for batch in batches[:-1]])
    assert spread > 0.7 * number.std()


def test_memory_is_bounded(tmp_path, monkeypatch):
    """What NumPy and Python hold at once, counted by Python itself, while data of twelve times the memory are trained on."""
    memory, states = 500_000, np.random.default_rng(0).choice(np.array([-1, 1], np.int8), size=(2, 200_000, 16))
    data = hl.microstates(states, "spins", 0.1, dims=("chain", "draw", "site")).assign_attrs(independent=1)
    data.to_zarr(tmp_path / "states.zarr", zarr_format=2, consolidated=False, encoding={"state": {"chunks": (1, 1000, 16)}})
    assert data["state"].nbytes > 12 * memory
    del data, states
    monkeypatch.setattr(microstate_data.validation, "PIECE", 100_000)  # a digest reads 16 MB at once, whatever the data
    engine = Training(epochs=1, batch=5000, memory=memory)
    beforehand = hl.simulate(ISING, beta=0.4, draws=50, seed=0)
    hl.infer.learn(beforehand, SMALL, engine=engine)  # imports
    tracemalloc.start()
    try:
        post = hl.infer.learn(open_microstates(tmp_path / "states.zarr"), hl.models.Autoregressive(hidden=8), engine=engine, seed=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = posteriors.provenance_of(post).training
    # A row of 16 bytes, its temperature, and its place in the order; the buffer is half of the memory.
    assert told["streamed"]["buffer"] * (16 + 8 + 8) <= memory / 2 and told["heldout"] == 40_000
    # Python's own objects (the file's index, xarray's wrappers, the posterior) come on top, whatever the data.
    assert peak < 3 * memory, peak


def test_the_likelihood_is_that_of_training_in_memory(simulated, path):
    common = {"epochs": 4, "batch": 200, "learning_rate": 8e-3}
    whole = hl.infer.learn(simulated, SMALL, engine=Training(**common), seed=1)
    post = hl.infer.learn(open_microstates(path), SMALL, engine=Training(memory=64_000, **common), seed=1)
    told, reference = (posteriors.provenance_of(one).training for one in (post, whole))
    assert reference["streamed"] is None and told["streamed"]["memory"] == 64_000
    assert told["heldout"] == reference["heldout"] == 2000
    # The same held-out microstates; other orders of minibatches scatter by about 0.0003 nats per site.
    assert abs(told["heldout_nats_per_site"][0] - reference["heldout_nats_per_site"][0]) < 0.002
    assert post.attrs["fingerprint"] == whole.attrs["fingerprint"]
    assert told["overlap"] == pytest.approx(reference["overlap"], abs=0.05)


def test_a_file_that_fits_is_trained_on_as_if_it_had_been_loaded(simulated, path):
    engine = Training(epochs=1, batch=500)
    first, second = (hl.infer.learn(one, SMALL, engine=engine, seed=1) for one in (simulated, open_microstates(path)))
    assert first["weights"].to_dataset().identical(second["weights"].to_dataset())


def test_the_front_door_takes_a_path(path, tmp_path):
    post = hl.learn(str(path), SMALL, engine=Training(epochs=2, batch=300, memory=100_000), seed=1)
    assert posteriors.provenance_of(post).training["streamed"]["memory"] == 100_000
    assert posteriors.provenance_of(post).check.decision in ("agrees", "differs", "undecided")
    kept = excerpt(open_microstates(path), 100_000)
    assert not on_disk(kept[0]) and kept[0]["state"].nbytes <= 100_000 / 32
    pair = hl.systems.Ising((2, 2))
    small = storage.write_dataset(hl.simulate(pair, beta=0.3, draws=200, seed=0), tmp_path / "small.nc")
    couplings = hl.learn(small, hl.models.Couplings(pair.lattice), engine="laplace", check=False)
    assert couplings["posterior"].to_dataset()["J"].sizes["bond"] == pair.lattice.n_bonds


def test_a_killed_training_resumes_bit_for_bit(path, monkeypatch, tmp_path):
    common = {"epochs": 3, "batch": 300, "memory": 100_000}
    whole = hl.infer.learn(open_microstates(path), SMALL, engine=Training(**common), seed=3)
    original, calls = torch_training._epoch, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    settings = Training(checkpoint=tmp_path / "run.npz", **common)
    with monkeypatch.context() as patch:
        patch.setattr(torch_training, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            hl.infer.learn(open_microstates(path), SMALL, engine=settings, seed=3)
    resumed = hl.infer.learn(open_microstates(path), SMALL, engine=settings, seed=3)
    assert resumed["weights"].to_dataset().identical(whole["weights"].to_dataset())


def test_temperatures_and_reals_are_streamed_too(tmp_path):
    both = hl.simulate(ISING, beta=[0.2, 0.4], draws=1500, chains=1, seed=0)
    storage.write_dataset(both, tmp_path / "two.nc")
    model = hl.models.Autoregressive(hidden=16, condition="beta")
    post = hl.infer.learn(
        open_microstates(tmp_path / "two.nc"), model, engine=Training(epochs=10, batch=50, learning_rate=0.01, memory=20_000)
    )
    cold, hot = (float(hl.log_prob(post, np.ones((1, 4, 4)), beta=beta)[0, 0]) for beta in (0.4, 0.2))
    assert posteriors.provenance_of(post).training["streamed"] and cold > hot
    fields = 5 + 2 * np.random.default_rng(0).normal(size=(3000, 3))
    storage.write_dataset(hl.microstates(fields, "reals", 1.0), tmp_path / "fields.nc")
    post = hl.infer.learn(
        open_microstates(tmp_path / "fields.nc"), hl.models.Flow("affine", layers=2, hidden=4), engine=Training(epochs=1, memory=30_000)
    )
    assert float(post["weights"].to_dataset()["location"][0]) == pytest.approx(5, abs=1)


def test_the_split_is_that_of_data_in_memory():
    for chains, draws, tau in [(2, 100, 1.0), (20, 30, 1.0), (1, 400, 3.2), (3, 10, 50.0)]:
        train, heldout = streaming.regions(chains, draws, 0.1, tau)
        assert not (train.mask((chains, draws)) & heldout.mask((chains, draws))).any()
        sets = hl.microstates(np.random.default_rng(0).choice([-1, 1], size=(chains, draws, 3)), dims=("chain", "draw", "site"))
        *_, last, used, found = training_data.split(sets.assign_attrs(tau_int=tau), SPINS, 0.1)
        assert found == tau
        np.testing.assert_array_equal(last.reshape(chains, draws), heldout.mask((chains, draws)))
        np.testing.assert_array_equal(used.reshape(chains, draws), train.mask((chains, draws)))


def test_mistakes_are_named(path, tmp_path, simulated):
    sets = open_microstates(path)
    with pytest.raises(HamlearnError, match="bytes in a chunk, which are read together"):
        hl.infer.learn(sets, SMALL, engine=Training(memory=3000))
    with pytest.raises(HamlearnError, match="give 64 times"):
        streamed(path, memory=500)
    states, counts = np.unique(simulated["state"].values.reshape(-1, 16), axis=0, return_counts=True)
    storage.write_dataset(hl.microstates(states, "spins", 0.4, counts=counts), tmp_path / "counts.nc")
    with pytest.raises(HamlearnError, match="counts or weights are not read from disk"):
        hl.infer.learn(open_microstates(tmp_path / "counts.nc"), SMALL, engine=Training(memory=10_000))
    with pytest.raises(HamlearnError, match="charge=0 is conserved by the model"):
        hl.infer.learn(sets, hl.models.Autoregressive(hidden=8, charge=0), engine=Training(memory=100_000))
    with pytest.raises(HamlearnError, match="memory must be a positive whole number"):
        Training(memory=0)
