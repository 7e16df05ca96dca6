"""What notebooks show of systems, models, posteriors and predictions: what it is, and a stranger's names as text."""

import numpy as np
import pytest
from contracts.worlds import SYSTEMS

import hamlearn as hl

HOSTILE = "<script>alert(1)</script>"


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_says_what_it_is(name):
    system = SYSTEMS[name]()
    page = system._repr_html_()
    assert f"<b>{type(system).__name__}</b>" in page and f"{system.lattice.n_sites}, " in page and len(page) < 4000
    assert len(repr(system)) < 400


@pytest.mark.parametrize(
    "model",
    [
        hl.models.Couplings([[0, 1]], prior="horseshoe"),
        hl.models.ClusterExpansion(window=2),
        hl.models.LocalInteraction(window=2),
        hl.models.PolynomialAction((2, 4)),
        hl.models.NetworkAction(),
        hl.models.Extensive(1, 1, (2,)),
        hl.models.Autoregressive(hidden=(8,)),
        hl.models.Flow("affine"),
        hl.models.RBM(hidden=4),
        hl.models.GaussianRBM(hidden=4),
        hl.models.DCL(),
    ],
    ids=lambda model: model.kind,
)
def test_every_model_says_what_it_learns(model):
    page = model._repr_html_()
    assert f"<b>{type(model).__name__}</b>" in page and model.traits.title in page.replace("&#x27;", "'")


def test_settings_are_told_in_words():
    page = hl.models.PolynomialAction((2, 4))._repr_html_() + hl.systems.Potts((2, 3), q=3)._repr_html_()
    assert ">2, 4<" in page and ">yes<" in page and ">states, 3 values<" in page and "True" not in page and "None" not in page


def test_names_are_text():
    system = hl.systems.Pairwise([[0, 1]], J=[1.0], name=HOSTILE)
    assert "<script" not in system._repr_html_() and "&lt;script" in system._repr_html_()


def test_posteriors_and_predictions_begin_with_what_they_are(tmp_path):
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, draws=200, chains=2, seed=0, sampler="exact")
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0)
    line = post.attrs["about"]
    assert next(iter(post.attrs)) == "about" and line[:50] in repr(post) and line in post._repr_html_()
    for word in ("couplings", "9 sites of spins", "400 microstates at β = 0.3", "exact likelihood", "laplace", hl.verdict(post).level):
        assert word in line
    found = hl.predict(post, beta=[0.3], draws=8)
    assert next(iter(found.attrs)) == "about" and line in found.attrs["about"] and np.isfinite(found["energy"]).all()
    assert hl.load(hl.save(post, tmp_path / "post.nc")).attrs["about"] == line
