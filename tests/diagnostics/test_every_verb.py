"""Every verb on a posterior of every kind: what works, and the sentence where something cannot.

Kinds come from ``families_of_posterior.py``; a further one is asked everything without a line here.
"""

from __future__ import annotations

import json
import warnings
from functools import partial
from typing import Any

import arviz_plots
import arviz_stats
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from families_of_posterior import KINDS, LABELS, SLOW, posterior

import hamlearn as hl
from hamlearn.infer import families, posteriors
from hamlearn.models import Flat

EVERY = [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in KINDS]
# All that is predicted unasked, of one kind of every way; entropies of simulated members, from ladders or walks, are most of its cost.
WHOLE = ("two temperatures", "two networks", "path", "a user's own", "local energy")
NOT_PREDICTED = {"nothing confines": "confine"}
"""Kinds whose members (or most of them) are no systems that could be simulated: the words of the refusal."""

PICTURES = (arviz_plots.plot_forest, arviz_plots.plot_trace_dist, arviz_plots.plot_ess)
PREDICTIVE = (partial(arviz_plots.plot_ppc_dist, kind="ecdf", num_samples=1), arviz_plots.plot_ppc_pit, arviz_plots.plot_ppc_tstat)
DRAWS = ("chain", "draw")
RANKED = 100  # draws of a chain: ArviZ simulates the ranks of all, which takes seconds for thousands


@pytest.mark.parametrize("kind", EVERY)
def test_every_verb(kind, tmp_path):
    post = posterior(kind)
    names, theta = families.of(post).parameters(post)
    assert theta.shape[-1] == len(names) and np.all(np.isfinite(theta))

    loaded = hl.load(hl.save(post, tmp_path / "post.nc"))
    again = hl.load(hl.save(loaded, tmp_path / "post.zarr"))
    for back in (loaded, again):
        np.testing.assert_array_equal(families.of(back).parameters(back)[1], theta)
        assert str(hl.verdict(back)) == str(hl.verdict(post))

    arviz_reads(kind, loaded)
    page = hl.report(loaded, tmp_path / "report.html").read_text()
    assert "<html" in page and str(hl.verdict(post)).splitlines()[0].split(":")[0].lower()[:7] in page.lower()

    if kind in NOT_PREDICTED:
        with pytest.raises(hl.HamlearnError, match=NOT_PREDICTED[kind]):
            hl.draw_systems(loaded, 64, seed=0)
        return
    system = hl.draw_systems(loaded, 2, seed=3)[0]
    beta = float(np.atleast_1d(np.array(json.loads(loaded.attrs["beta"])))[0])
    data = hl.simulate(system, beta=beta, draws=6, chains=2, seed=4, burn_in=20)
    states = data["state"].values
    assert states.shape == (2, 6, *system.lattice.shape, *system.space.event_shape)
    energies = hl.energy(loaded, states.reshape(-1, *states.shape[2:]), draws=2, seed=3)
    assert energies.shape[1:] == (12,) and np.all(np.isfinite(energies))
    curve = hl.predict(loaded, beta=[beta], observables=None if kind in WHOLE else ["energy"], draws=4, seed=5)
    assert np.all(np.isfinite(curve["energy"].sel(quantity="mean")))
    arviz_compares(loaded, data)


def arviz_reads(kind: str, post: xr.DataTree) -> None:
    """ArviZ's table and pictures of a posterior as it is, with the names of its sites."""
    with warnings.catch_warnings():  # its own, of one network, or of a bond that is never in
        warnings.filterwarnings("ignore", "Your data appears to have a single value")
        warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
        table = arviz_stats.summary(post)
        labels = LABELS.get(kind, tuple(map(str, post["posterior"].data_vars)))
        assert set(labels) <= set(table.index) and np.all(np.isfinite(table["mean"]))
        group = post["posterior"].to_dataset()
        few = {dim: group[dim].values[:2] for dim in group.coords if dim in group.dims and dim not in ("chain", "draw")}
        for picture in PICTURES:
            drawn = picture(post, coords=few, backend="matplotlib")
            assert set(drawn.viz.children) and plt.get_fignums()
            plt.close("all")
        arviz_ranks(group.isel(draw=slice(RANKED)).sel(few))


def arviz_ranks(group: xr.Dataset) -> None:
    """Ranks of draws, but for what ArviZ cannot rank whatever made it: a single draw, and whole numbers that never change."""
    rank = partial(arviz_plots.plot_rank, backend="matplotlib")
    if group.sizes["chain"] * group.sizes["draw"] == 1:
        with pytest.raises(ValueError, match="zero-size array"):
            rank(xr.DataTree.from_dict({"posterior": group}))
        return
    still = [name for name, one in group.data_vars.items() if one.dtype.kind == "i" and np.any(one.max(DRAWS) == one.min(DRAWS))]
    if still:
        with pytest.raises(ValueError, match="strictly increasing"):
            rank(xr.DataTree.from_dict({"posterior": group[still]}))
    assert rank(xr.DataTree.from_dict({"posterior": group.drop_vars(still)})).viz.children
    plt.close("all")


def arviz_leaves_out(post: xr.DataTree, data: xr.Dataset, model: Any) -> None:
    """ArviZ's loo of rows, or of rows and sites; one line where ln p of neither is known."""
    if posteriors.space_of(post).continuous and not hasattr(families.of(post), "evaluators"):
        with pytest.raises(hl.HamlearnError, match="need a normalised density"):
            hl.infer.log_likelihood(post, data, draws=1)
        return
    group = hl.infer.log_likelihood(post, data, draws=min(20, post["posterior"].sizes["draw"]))
    values = group["log_likelihood"]["microstates"]
    assert np.all(np.isfinite(values)) and group["log_likelihood"].attrs["likelihood"] == ("exact", "pseudo")[values.ndim - 3]
    with warnings.catch_warnings():  # too few draws for its tails, or one network
        warnings.simplefilter("ignore")
        if values.shape[0] * values.shape[1] < 25:  # an ensemble of networks
            assert "loo needs 25" in group["log_likelihood"].attrs["caveat"]
            with pytest.raises(IndexError, match="out of bounds"):  # ArviZ's, of the tail of weights
                arviz_stats.loo(group, reff=1.0)
            return
        loo = arviz_stats.loo(group, reff=1.0)
    assert loo.n_data_points == values[0, 0].size and np.isfinite(loo.elpd)


def arviz_compares(post: xr.DataTree, data: xr.Dataset) -> None:
    """Groups of draws from the prior and of predicted microstates, in ArviZ's pictures; one line where there is no prior to draw from."""
    asked = hl.diagnostics.posterior_predictive(post, data, draws=2, rows=8, seed=0)
    predicted, observed = asked["posterior_predictive"], asked["observed_data"]
    assert predicted["microstates"].dims[:4] == ("chain", "draw", "row", "site")
    assert predicted["microstates"].shape[2:] == observed["microstates"].shape and np.all(predicted["beta"] == float(data["beta"]))
    model = posteriors.model_of(post)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your data appears to have a single value")
        for picture in PREDICTIVE:
            picture(asked, var_names=["order"], backend="matplotlib")
            plt.close("all")
    arviz_leaves_out(post, data, model)
    if model.traits.density or model.traits.closed or isinstance(getattr(model, "prior", None), Flat):
        with pytest.raises(hl.HamlearnError, match=r"no group 'prior'|flat"):
            hl.infer.prior(post, draws=3)
        return
    drawn, learned = hl.infer.prior(post, draws=3)["prior"], post["posterior"]
    assert {name: one.shape[2:] for name, one in drawn.data_vars.items()} == {name: learned[name].shape[2:] for name in drawn.data_vars}
    assert dict(drawn.sizes)["draw"] == 3
