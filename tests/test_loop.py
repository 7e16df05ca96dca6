"""The closed loop, learn → save → load → members → energy → simulate → predict → report, for every kind of model.

A further model or system is one line in ``LOOPS``.
"""

import subprocess
import sys

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.infer import families
from hamlearn.systems import lattice

SQUARE = lattice.hypercubic((3, 3))
RING = lattice.hypercubic(4)

LOOPS = {
    "glass, one coupling per bond": (hl.systems.EdwardsAnderson((3, 3), seed=1), hl.models.Couplings(SQUARE), "laplace"),
    "glass, maximum likelihood": (hl.systems.EdwardsAnderson((3, 3), seed=1), hl.models.Couplings(SQUARE, fields=None), "mle"),
    "glass, MAP": (hl.systems.EdwardsAnderson((3, 3), seed=1), hl.models.Couplings(SQUARE), "map"),
    "ferromagnet, tied": (hl.systems.Ising((3, 3)), hl.models.Couplings(SQUARE, tie="uniform", fields=None), "nuts"),
    "unknown graph, sparse": (hl.systems.Ising((3, 3)), hl.models.Couplings(None, fields=None, prior="spike_slab"), "gibbs"),
    "clock": (hl.systems.Clock(4, q=3), hl.models.Couplings(RING, interaction="clock", fields=None), "laplace"),
    "potts with fields": (hl.systems.Potts(4, q=3, h=[0.2, 0.0, -0.2]), hl.models.Couplings(RING, interaction="potts"), "laplace"),
    "rotors, tied": (hl.systems.XY((3, 3)), hl.models.Couplings(SQUARE, tie="uniform", fields=None), "laplace"),
    "general tables": (hl.systems.Potts(4, q=3), hl.models.Couplings(RING), "laplace"),
    "fixed magnetization": (hl.systems.Ising((4, 4), magnetization=4), hl.models.Couplings(lattice.hypercubic((4, 4))), "laplace"),
    "clusters at a fixed magnetization": (hl.systems.Ising((4, 4), magnetization=4), hl.models.ClusterExpansion(window=2), "auto"),
    "cluster_expansion": (hl.systems.Ising((4, 4)), hl.models.ClusterExpansion(window=2), "auto"),
    "path": (hl.systems.Path(8, hl.systems.DoubleWell(4.0, 2.0)), hl.models.PolynomialAction(powers=(2, 4)), "laplace"),
}


WHOLE = ("glass, one coupling per bond", "potts with fields", "path")
"""Whose unasked observables are all predicted: entropies, where no oracle has them, are most of the cost."""


@pytest.mark.parametrize("name", LOOPS)
def test_loop(name, tmp_path):
    system, model, engine = LOOPS[name]
    data = hl.simulate(system, beta=0.5, draws=1500, chains=2, seed=1)
    post = hl.learn(data, model, engine=engine, seed=2)
    if isinstance(model, hl.models.Couplings):
        assert post["posterior"]["J"].dims[:3] == ("chain", "draw", "bond")
        assert post["posterior"].sizes["bond"] == model.bind(system.space, system.lattice.shape).lattice.n_bonds
    names, theta = families.of(post).parameters(post)
    assert theta.shape[:2] == (post["posterior"].sizes["chain"], post["posterior"].sizes["draw"]) and theta.shape[2] == len(names)

    path = hl.save(post, tmp_path / "post.nc")
    loaded = hl.load(path)
    assert loaded.identical(hl.load(hl.save(loaded, tmp_path / "again.zarr"))) or np.allclose(
        families.of(loaded).parameters(loaded)[1], theta
    )
    assert str(hl.verdict(loaded)) == str(hl.verdict(post))

    member = hl.draw_systems(loaded, 2, seed=3)[0]
    states = data["state"].values[0, :5]
    energies = hl.energy(loaded, states, draws=4, seed=3)
    assert energies.dims == ("member", "axis_0")
    assert energies.shape == (4, 5)
    simulated = hl.simulate(member, beta=0.5, draws=20, chains=2, seed=4)
    assert simulated["state"].shape == (2, 20, *system.lattice.shape)

    # The energy at the observed temperature is determined by the data: the exact value must lie near the band.
    curve = hl.predict(loaded, beta=[0.25, 0.5], observables=None if name in WHOLE else ["energy"], draws=16, seed=5)
    exact = hl.systems.exact.thermodynamics(system, np.array([0.5]))["energy"].item()
    energy = curve["energy"].sel(beta=0.5)
    sd = float(np.hypot(energy.sel(quantity="sd"), energy.sel(quantity="mc_error")))
    shift = _offset(system, member, simulated, 0.5)
    assert abs(float(energy.sel(quantity="mean")) - exact - shift) < 5 * max(sd, 0.01)

    page = hl.report(loaded, tmp_path / "report.html", prediction=curve)
    text = page.read_text()
    assert "<html" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def _offset(system, member, simulated, beta):
    """Learned energies are defined up to a constant where δ-Potts couplings turn into zero-sum tables or a potential loses its own."""
    if system.space.name in ("spins", "angles"):
        return 0.0
    states = simulated["state"].values.reshape(-1, *system.lattice.shape)
    shift = float((member.energy(states) - system.energy(states)).mean())
    return shift if system.space.name == "reals" else shift / system.lattice.n_sites  # the energy of a path is its particle's


def test_two_temperatures_enter_jointly():
    system = hl.systems.EdwardsAnderson((3, 3), seed=2)
    cold, hot = (hl.simulate(system, beta=beta, draws=2000, chains=2, seed=1) for beta in (1.0, 0.4))
    model = hl.models.Couplings(SQUARE, fields=None)
    both = hl.learn([cold, hot], model, engine="mle", check=False)
    alone = hl.learn(hot, model, engine="mle", check=False)
    spread = {name: float(post["posterior"]["J"].std(("chain", "draw")).mean()) for name, post in (("both", both), ("alone", alone))}
    assert spread["both"] < spread["alone"]
    z = (both["point"]["J"].values - system.J) / both["posterior"]["J"].std(("chain", "draw")).values
    assert np.sqrt((z**2).mean()) < 2


def test_import_and_directory():
    assert set(hl.__all__) <= set(dir(hl))
    command = "import hamlearn as hl; print(hl.data.missing.__name__, hl.spaces.MISSING)"  # before any verb has loaded them
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["missing", "-128"]
    with pytest.raises(AttributeError, match="no attribute 'lern'"):
        hl.lern


@pytest.mark.parametrize("data", [np.ones((50, 4), int), None, 3], ids=["array", "nothing", "number"])
def test_learn_asks_for_microstates_by_name(data):
    with pytest.raises(hl.HamlearnError, match=r"hl.microstates\("):
        hl.learn(data, hl.models.Couplings(None))
