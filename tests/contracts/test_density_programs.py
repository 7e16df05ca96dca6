"""Every normalised density is a Pyro program: a user's own guide and own SVI run it, and its weights come back to every verb.

Adding a network, a conditional, a transform or a class of densities adds a line to the dictionary; the first test says which is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoNormal

import hamlearn as hl
from hamlearn.infer import families
from hamlearn.models import autoregressive, flow
from hamlearn.models.traits import Model

ROWS = 120
AR, FLOW = hl.models.Autoregressive, hl.models.Flow


def rows(space: str, shape: tuple[int, ...], beta: float = 0.5, n: int = ROWS, **more: Any) -> Any:
    """Random microstates of a space, known to be independent."""
    generator = np.random.default_rng(int(10 * beta))  # chains that repeat each other are refused
    values = {
        "spins": lambda: np.sign(generator.normal(0.3, 1.0, (n, *shape))).astype(int),
        "states": lambda: generator.choice(3, p=(0.5, 0.3, 0.2), size=(n, *shape)),
        "angles": lambda: generator.vonmises(0.0, 1.0, (n, *shape)) % (2 * np.pi),
        "reals": lambda: generator.normal(0.4, 1.3, (n, *shape)),
        "balanced": lambda: generator.permuted(np.tile([1, 1, -1, -1], (n, 1)), axis=1),
    }[space]()
    named = "spins" if space == "balanced" else space
    return hl.microstates(values, space=named, beta=beta, **more).assign_attrs(independent=1)


two_betas = lambda space, shape: [rows(space, shape, 0.5), rows(space, shape, 0.8)]

DENSITIES: dict[str, tuple[Callable[[], Any], Any]] = {
    "masked layers of spins": (lambda: rows("spins", (2, 2)), AR(hidden=(4,))),
    "spins, flipped": (lambda: rows("spins", (2, 2)), AR(hidden=(4,), symmetry="z2")),
    "spins of a fixed sum": (lambda: rows("balanced", (4,)), AR(hidden=(4,), charge=0)),
    "spins at two temperatures": (lambda: two_betas("spins", (2, 2)), AR(hidden=(4,), condition="beta")),
    "convolutions": (lambda: rows("spins", (3, 3)), AR("pixelcnn", hidden=(4, 4))),
    "a recurrent cell": (lambda: rows("spins", (2, 2)), AR("gru", hidden=(4,))),
    "attention": (lambda: rows("spins", (2, 2)), AR("transformer", hidden=(4,))),
    "three states": (lambda: rows("states", (2, 2), q=3), AR(hidden=(4,))),
    "three states, moved": (lambda: rows("states", (2, 2), q=3), AR(hidden=(4,), symmetry=("translation",))),
    "angles": (lambda: rows("angles", (2, 2)), AR(hidden=(4,), components=2)),
    "angles by splines": (lambda: rows("angles", (3,)), AR(hidden=(4,), conditional="circular-spline", components=3)),
    "angles by one Beta": (lambda: rows("angles", (3,)), AR(hidden=(4,), conditional="beta")),
    "angles by Betas": (lambda: rows("angles", (3,)), AR(hidden=(4,), conditional="beta-mixture", components=2)),
    "fields": (lambda: rows("reals", (2, 2)), AR(hidden=(4,), components=2, symmetry="z2")),
    "fields by logistics": (lambda: rows("reals", (2, 2)), AR(hidden=(4,), conditional="logistic-mixture", components=2)),
    "paths": (lambda: rows("reals", (5,)), AR("local", hidden=(4,), components=2)),
    "a flow of splines": (lambda: rows("reals", (2, 2)), FLOW(layers=2, hidden=4, bins=3)),
    "a flow of convolutions": (lambda: rows("reals", (4,)), FLOW("affine", network="convolution", layers=2, hidden=4)),
    "a flow site by site": (lambda: rows("reals", (4,)), FLOW("spline", "autoregressive", layers=2, hidden=4, bins=3)),
    "an affine flow site by site": (lambda: rows("reals", (4,)), FLOW("affine", "autoregressive", layers=2, hidden=(4, 4))),
    "a continuous flow": (lambda: rows("reals", (2, 2)), FLOW("continuous", layers=2, hidden=(3, 2))),
    "a flow at two temperatures": (lambda: two_betas("reals", (4,)), FLOW("affine", layers=2, hidden=4, condition="beta")),
}


def test_every_density_stands_in_the_dictionary():
    models = [model for _, model in DENSITIES.values()]
    assert {type(one) for one in models} == {one for one in Model.kinds.values() if one.traits.density and not one.traits.closed}
    networks = [one for one in models if isinstance(one, AR)]
    assert {one.network for one in networks} == {*autoregressive.NETWORKS, *autoregressive.CHAINS}
    spaces = [make()[0] if isinstance(make(), list) else make() for make, model in DENSITIES.values() if isinstance(model, AR)]
    used = {one.conditional_for(hl.data.space_of(data)) for one, data in zip(networks, spaces, strict=True)}
    assert used == {name for names in autoregressive.CONDITIONALS.values() for name in names}
    flows = [one for one in models if isinstance(one, FLOW)]
    assert {one.transform for one in flows} == set(flow.TRANSFORMS)
    assert {one.structure for one in flows} == set(flow.LAYERS) and {one.network for one in flows} == set(flow.NETWORKS)


def _factors(post: Any, program: Any) -> list[float]:
    """Mean ln p of the rows that were not held out under every network of a posterior, times what they are worth."""
    space, shape = hl.infer.posteriors.space_of(post), hl.infer.posteriors.site_shape(post)
    states, context, _ = program.prepared.train.rows(slice(None))
    values = states.numpy() if space.continuous else space.from_index(states.numpy().astype(int))
    beta = None if context is None else context[:, 0].numpy()
    networks = families.of(post).evaluators(post)
    return [program.worth * float(np.mean(one.log_prob(values.reshape(-1, *shape), beta))) for one in networks]


@pytest.mark.parametrize("name", DENSITIES)
def test_a_users_guide_and_svi_come_back_to_every_verb(name, tmp_path):
    make, model = DENSITIES[name]
    data = make()
    with pyro.get_param_store().scope(), torch.random.fork_rng(devices=[]):
        pyro.clear_param_store()
        torch.manual_seed(0)
        program = hl.infer.program(data, model, seed=1)
        assert list(program.start) == [site for site, _ in program.density.named_parameters(remove_duplicate=False)], "one name a weight"
        sites = pyro.poutine.trace(program.model).get_trace(subsample=10)
        assert {site for site, node in sites.nodes.items() if node["type"] == "sample"} >= {*program.start, "likelihood"}
        guide = AutoNormal(program.model, init_loc_fn=pyro.infer.autoguide.init_to_value(values=program.start), init_scale=0.01)
        svi = SVI(program.model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
        losses = [svi.step() for _ in range(12)]
        weights = {site: value.detach() for site, value in Predictive(program.model, guide=guide, num_samples=3)().items()}
    assert np.mean(losses[-3:]) < np.mean(losses[:3]), "the factor has no gradient that the guide could follow"

    post = hl.from_samples(weights, program)
    record = hl.infer.provenance(post)
    assert (record.engine.name, record.likelihood, record.seed) == ("external", "exact", 1)
    assert post["weights"].sizes["member"] == families.available(post) == 3
    given = [{site: value[k] for site, value in weights.items()} for k in range(3)]
    given = [{site: value[k] for site, value in weights.items() if site in program.start} for k in range(3)]
    factor = [float(program.log_likelihood(one)) for one in given]
    np.testing.assert_allclose(factor, _factors(post, program), rtol=1e-5)  # of the networks that came back, by another way

    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    assert hl.verdict(loaded).level == hl.verdict(post).level
    curve = hl.predict(loaded, beta=[0.5], draws=3)
    means = [one.sel(quantity="mean").values for one in curve.data_vars.values() if "quantity" in one.dims]
    assert means and all(np.isfinite(one).all() for one in means)
    assert "<html" in hl.report(loaded, tmp_path / "page.html", prediction=curve).read_text()
