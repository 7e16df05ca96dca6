"""The posterior over the weights of a density as a Pyro program: a user's own guide, SVI and MCMC, and the way back."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoNormal

import hamlearn as hl

MODEL = hl.models.Autoregressive(hidden=(4,))
BIAS = "network.layers.1.bias"


@pytest.fixture(scope="module")
def data():
    """Two spins that know nothing of each other: 3 of 4, and 2 of 5, are up."""
    generator = np.random.default_rng(0)
    rows = np.where(generator.random((300, 2)) < (0.75, 0.4), 1, -1)
    found = hl.microstates(rows, space="spins", beta=1.0)
    return found.assign_attrs(independent=1)


@pytest.fixture
def own():
    """A user's parameter store and generator."""
    with pyro.get_param_store().scope(), torch.random.fork_rng(devices=[]):
        pyro.clear_param_store()
        torch.manual_seed(0)
        yield


def fitted(model, guide, steps, rate, particles=1):
    elbo = Trace_ELBO(num_particles=particles, vectorize_particles=False)
    svi = SVI(model, guide, pyro.optim.ExponentialLR({"optimizer": torch.optim.Adam, "optim_args": {"lr": rate}, "gamma": 0.95}), elbo)
    for step in range(steps):
        svi.step()
        if step % 5 == 0:
            svi.optim.step()
    return guide


def by_quadrature(up, down, scale):
    """Mean and sd of the log-odds of a spin under N(0, scale²)."""
    grid = np.linspace(-4, 4, 20_001)
    log_p = -up * np.logaddexp(0, -grid) - down * np.logaddexp(0, grid) - 0.5 * (grid / scale) ** 2
    p = np.exp(log_p - log_p.max())
    mean = (p * grid).sum() / p.sum()
    return mean, np.sqrt((p * (grid - mean) ** 2).sum() / p.sum())


def test_a_users_guide_finds_the_posterior_of_independent_spins(data, own, tmp_path):
    """All weights but the last biases held at zero: log-odds with a prior of the user's own, known by quadrature."""
    before = torch.get_rng_state()
    program = hl.infer.program(data, MODEL, seed=1)
    assert torch.equal(torch.get_rng_state(), before) and not pyro.get_param_store()
    assert program.worth == len(program.log_likelihood) == 270

    def model():
        bias = pyro.sample(BIAS, dist.Normal(torch.zeros(2), 1.5).to_event(1))
        pyro.factor("data", program.log_likelihood({**program.start, BIAS: bias}))

    guide = fitted(model, AutoNormal(model), 400, 0.1, particles=5)
    draws = Predictive(model, guide=guide, num_samples=400)()[BIAS].detach()
    before, store = torch.get_rng_state(), set(pyro.get_param_store())
    post = hl.from_samples({**program.start, BIAS: draws}, program, check=False)
    assert torch.equal(torch.get_rng_state(), before) and set(pyro.get_param_store()) == store

    rows = program.prepared.train.states.numpy()
    up = rows.sum(0)
    for site in range(2):
        mean, sd = by_quadrature(up[site], len(rows) - up[site], 1.5)
        location, scale = (guide.median()[BIAS][site].item(), guide.quantiles([0.8413447])[BIAS][0][site].item())
        assert location == pytest.approx(mean, abs=0.15 * sd) and scale - location == pytest.approx(sd, rel=0.15)

    record = hl.infer.provenance(post)
    assert (record.engine.name, record.seed, post["weights"].sizes["member"]) == ("external", 1, 400)
    few = hl.from_samples({**program.start, BIAS: draws[:6]}, program)  # with the comparison of its draws with held-out microstates
    loaded = hl.load(hl.save(few, tmp_path / "post.nc"))
    assert hl.verdict(loaded).level == hl.verdict(few).level != "do not believe"
    curve = hl.predict(loaded, beta=[1.0])
    found = curve["magnetization"].sel(quantity="mean").values if "magnetization" in curve else None
    assert found is None or np.isfinite(found).all()
    assert "drawn elsewhere" in hl.report(loaded, tmp_path / "page.html", prediction=curve).read_text()
    probability = np.exp(hl.log_prob(loaded, np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])))
    np.testing.assert_allclose(np.asarray(probability).reshape(-1, 4).sum(-1), 1, atol=1e-5)


def test_the_programs_own_model_and_guide(data, own):
    program = hl.infer.program(data, MODEL)
    trace = pyro.poutine.trace(program.model).get_trace(subsample=50)
    assert {name for name, node in trace.nodes.items() if node["type"] == "sample"} >= {*program.start, "likelihood"}
    whole = program.log_likelihood(program.start)
    pieces = [program.log_likelihood(program.start, part) for part in torch.arange(270).split(30)]
    assert torch.stack(pieces).mean() == pytest.approx(whole.item(), rel=1e-5)
    assert whole.item() == pytest.approx(-270 * 2 * np.log(2), rel=1e-5)  # a fresh network knows nothing
    loss = SVI(program.model, program.guide, pyro.optim.Adam({"lr": 0.02}), Trace_ELBO())
    first = [loss.step(subsample=100) for _ in range(150)]
    assert np.mean(first[-20:]) < np.mean(first[:20])
    draws = {name: value.detach() for name, value in Predictive(program.model, guide=program.guide, num_samples=5)().items()}
    post = hl.from_samples(draws, program, check=False)
    assert post["weights"].sizes["member"] == 5 and set(program.start) <= set(post["weights"].data_vars)
    single = hl.from_samples({name: value[0] for name, value in draws.items()}, program, check=False)
    for name in program.start:
        np.testing.assert_array_equal(single["weights"][name].values[0], post["weights"][name].values[0])


MISTAKES = {
    "missing": (lambda start: {}, r"no weights '.*program.start"),
    "shape": (lambda start: {**start, BIAS: np.zeros((4, 3))}, r"need the shape \('draw', 2\)"),
    "counts": (lambda start: {**start, BIAS: np.zeros((4, 2)), "network.layers.0.bias": np.zeros((3, 4))}, "different numbers of draws"),
    "nan": (lambda start: {**start, BIAS: np.full((4, 2), np.nan)}, "8 of 8 values of the weights"),
    "number": (lambda start: 3, "weights are arrays by name"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name, data):
    program = hl.infer.program(data, MODEL)
    samples, words = MISTAKES[name]
    with pytest.raises(hl.HamlearnError, match=words):
        hl.from_samples(samples(program.start), program, check=False)


def test_what_is_no_one_network_is_refused(data):
    with pytest.raises(hl.HamlearnError, match="leave members=1"):
        hl.infer.program(data, hl.models.Autoregressive(hidden=(4,), members=2))
    with pytest.raises(hl.HamlearnError, match="likelihood"):
        hl.infer.program(data, MODEL, likelihood="pseudo")
