"""What the tables of the page hold: parameters, predictions, checks, convergence, and the numbers behind curves of training and chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hamlearn.data.codes import state_names
from hamlearn.diagnostics import arviz, claims
from hamlearn.diagnostics.foreign import NAME, readable
from hamlearn.diagnostics.verdict import CHECK, DIVERGENT_SHARE, ESS, Verdict, rhat_limit
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors
from hamlearn.infer.pipeline import PARETO_K
from hamlearn.infer.provenance import Provenance
from hamlearn.page.numbers import FILED, Column, Table, bars, beside, number, numbers, texts
from hamlearn.plots import layout
from hamlearn.plots.curves import drawn, points
from hamlearn.plots.soundness import widest_apart

_REACH = 8.0  # standard deviations that the bar of a check shows
_TRACED = 1000  # draws of every chain in the file of the traces


def parameters(post: xr.DataTree) -> list[Table]:
    """Every parameter with its error bar, tied ones once, those farthest from zero first: couplings and fields apart."""
    if not (families.traits(post).bonds and "J" in post["posterior"]):
        return _general(post)
    what = layout.strengths(post)[1]
    found = [_estimates(post, "Couplings with their error bars", "couplings.csv", what, *_rows(post, "J"))]
    values = layout.posterior_values(post, "J")
    if values.ndim > 3:
        title = "Tables of pairs, entry by entry, with their error bars"
        found.append(_estimates(post, title, "tables.csv", "sites (states)", *_entries(post, values)))
    fields = _rows(post, "h")
    if fields[0]:
        found.append(_estimates(post, "Fields with their error bars", "fields.csv", "field h", *fields))
    return found


def _rows(post: xr.DataTree, parameter: str) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Labels, draws ``(chain, draw, row)``, and the probability to exist where it is known."""
    labels, draws = layout.rows(post, parameter)
    sizes = post["posterior"].sizes
    return labels, draws.reshape(sizes["chain"], sizes["draw"], len(labels)), _included(post, labels) if parameter == "J" else None


def _entries(post: xr.DataTree, values: np.ndarray) -> tuple[list[str], np.ndarray, None]:
    """Labels and draws of what the tables of all groups of bonds hold, of the strongest where there are very many."""
    bound = posteriors.bound_of(post)
    first = np.unique(bound.bond_group, return_index=True)[1]
    flat = values[:, :, first].reshape(*values.shape[:2], -1)
    kept = np.argsort(-np.abs(flat.mean((0, 1))), kind="stable")
    kept = (kept if bound.space.uniform else kept[bound.entries("J")[first].ravel()[kept]])[:FILED]
    where = np.stack(np.unravel_index(kept, (len(first), *values.shape[3:])), 1)
    bonds = bound.lattice.bonds[first]
    word, states = bound.lattice.word, state_names(post, bound.lattice.n_sites)
    ends = ((*bonds[k], a, b) for k, a, b in where)
    return [f"{word(i)} – {word(j)} ({states[i][a]}, {states[j][b]})" for i, j, a, b in ends], flat[..., kept], None


def _general(post: xr.DataTree) -> list[Table]:
    names, theta = families.of(post).parameters(post)
    heading, what = claims.quantities(post)
    own = heading if heading != claims.PARAMETERS else "Parameters"
    exact = claims.draws(post)[0] == 1 or families.traits(post).compared == "not"  # known, or without a spread
    title = own if exact else f"{own} with their error bars"
    return [_estimates(post, title, "parameters.csv", what, list(names), theta, _included(post, names))] if len(names) else []


def _included(post: xr.DataTree, labels: list[str]) -> np.ndarray | None:
    if "included" not in post["posterior"]:
        return None
    found = layout.posterior_values(post, "included").mean((0, 1))
    return found if found.shape == (len(labels),) else None


def _estimates(
    post: xr.DataTree, title: str, file: str, what: str, labels: list[str], draws: np.ndarray, included: np.ndarray | None
) -> Table:
    """Means, spreads, intervals and what chains say of them, from draws ``(chain, draw, parameter)``."""
    mean = draws.mean((0, 1))
    order = np.argsort(-np.abs(mean), kind="stable")
    kept, mean = order[:FILED], mean[order[:FILED]]
    chosen = draws[..., kept]
    columns = [texts("parameter", what, [labels[k] for k in kept])]
    if claims.draws(post)[0] == 1:  # one network has no spread
        columns += [bars("value", mean, mean, mean), numbers("mean", "value", mean, 4)]
    else:
        sd = chosen.std((0, 1), ddof=1)
        low, high = np.quantile(chosen, [0.05, 0.95], axis=(0, 1))
        columns += [
            bars("mean and 90 % interval", low, high, mean),
            numbers("mean", "mean", mean, errors=sd),
            numbers("sd", "sd", sd, 2),
            numbers("eti_5%", "5 %", low, errors=sd),
            numbers("eti_95%", "95 %", high, errors=sd),
        ]
    if included is not None:
        columns.append(numbers("inclusion", "probability to exist", included[kept], 3))
    if arviz.sampled(post):
        found = arviz.mixing(chosen)
        columns += [numbers(key, f"{key[4:]} ESS", np.round(found[key])) for key in ("ess_bulk", "ess_tail")]
        columns.append(numbers("r_hat", "R-hat", found["r_hat"], errors=np.full(len(kept), 0.01)))
    return Table(title, file, tuple(columns), len(labels))


def predictions(curves: xr.Dataset) -> Table:
    """Every observable at every β, one below the other; intervals and simulation errors where there are any."""
    names, beta = drawn(curves), curves["beta"].values
    told = {str(key): np.concatenate([curves[name].sel(quantity=key).values for name in names]) for key in curves["quantity"].values}
    there = {"mean": True, "lower": np.any(told["upper"] > told["lower"]), "mc_error": np.any(told["mc_error"] > 0)}
    there["upper"] = there["lower"]
    columns = [texts("observable", "observable", [_named(name) for name in names for _ in beta], "words")]
    columns.append(numbers("beta", "β", np.tile(beta, len(names)), 6))
    for key, values in told.items():
        made = numbers(key, {"mc_error": "simulation error"}.get(key, key), values, 4)
        columns.append(made if there.get(key) else Column(made.key, made.heading, made.values))
    return Table("Predictions", "predictions.csv", tuple(columns), len(names) * len(beta))


def measured(post: xr.DataTree, curves: xr.Dataset) -> Table | None:
    """What the data themselves say of the observables that are drawn: a file without rows on the page; None where they are silent."""
    if "measured" not in post:
        return None
    given = post["measured"].to_dataset()
    rows = [(_named(name), *point) for name in drawn(curves) for point in zip(*points(given, name), strict=True)]
    names = ("observable", "beta", "mean", "error")
    return _file("measured.csv", dict(zip(names, zip(*rows, strict=True), strict=True))) if rows else None


def _named(name: str) -> str:
    unit = claims.unit(name)
    return readable(name, NAME - 40).replace("_", " ") + (f" ({unit})" if unit else "")


def checks(post: xr.DataTree) -> Table | None:
    """A row for every statistic, with its verdict in plain words; None where there are none."""
    if "checks" in post and post["checks"].data_vars and "statistic" not in post["checks"].coords:
        raise HamlearnError("this posterior's group 'checks' has no statistics: make it anew with hl.diagnostics.diagnose(post, data).")
    if "checks" not in post or not post["checks"].sizes.get("statistic", 0):
        return None
    table = post["checks"].to_dataset()
    names, scatter = [str(name) for name in table["statistic"].values], table["scatter"].values.astype(bool).tolist()
    z, p, adjusted, sd = (table[name].values.astype(float) for name in ("z", "p_value", "p_adjusted", "sd"))
    bad = adjusted < CHECK
    reach = float(np.clip(np.abs(z).max(), 4.0, _REACH)) if np.isfinite(z).all() else _REACH
    columns = [
        texts("statistic", "statistic", [name + _how(name, wide) for name, wide in zip(names, scatter, strict=True)], "words"),
        texts("verdict", "verdict", list(map(_words, z, p, adjusted, scatter)), "words"),
        bars("deviation in sd", np.minimum(z, 0), np.maximum(z, 0), z, (-reach, reach)),
        numbers("observed", "observed", table["observed"].values, errors=sd),
        numbers("predicted", "predicted", table["predicted"].values, errors=sd),
        numbers("sd", "±", sd, 2),
        Column("z", "z", z.tolist(), [f"{one:+.1f}".replace("-", "−") for one in z]),
        numbers("p_value", "p", p, 2),
        numbers("p_adjusted", "p, corrected", adjusted, 2),
    ]
    strengths = [_strength(table.isel(statistic=index)) for index in range(len(names))]
    if any(strengths):
        columns.append(texts("estimated strength", "estimated strength", strengths))
    return Table("Comparison with data", "checks.csv", tuple(columns), len(names), frozenset(np.flatnonzero(bad).tolist()))


def _how(name: str, scatter: bool) -> str:
    """What the numbers of a statistic with many components are."""
    if not scatter or "strongest" in name:
        return ""
    return " (largest eigenvalue)" if "common factor" in name else " (sum of squares)"


def _strength(row: xr.Dataset) -> str:
    """How strong a test found what it looks for, with its unit and place, where it estimates that."""
    unit, where = (str(row[name].values) if name in row else "" for name in ("unit", "where"))
    if "effect" not in row or not np.isfinite(row["effect"]):
        return where
    if row["effect"] < 0 and unit in ("spread of beta", "share"):
        return "none"  # by chance below what a spread or a share can be
    told = f"{beside(float(row['effect']), float(row['effect_sd']))} ± {number(float(row['effect_sd']), 2)} {unit}".strip()
    return told + (f" ({where})" if where else "")


def _words(z: float, p: float, adjusted: float, scatter: bool) -> str:
    if adjusted < CHECK:
        return "differs: scatters more than the model allows" if scatter else f"differs: {'more' if z > 0 else 'less'} than predicted"
    return "a little off, as chance allows among so many" if p < 0.05 else "as predicted"


def convergence(made: Provenance, verdict: Verdict) -> Table | None:
    """What chains are asked for; red is what the verdict weighed as bad, and nothing else. None where nothing was sampled."""
    seen = made.convergence
    if seen is None or not seen.sampled:
        return None
    weighed = {reason.code for reason in verdict.reasons if reason.severity != "note"}
    few = "few effective draws" in weighed
    total = seen.chains * seen.draws
    wanted = [  # name, value, where it is worst, what the verdict asks for, whether it found that wanting
        ("largest R-hat", seen.max_rhat, seen.max_rhat_where, f"≤ {rhat_limit(seen):.3g}", "rhat" in weighed),
        ("smallest bulk ESS", seen.min_ess_bulk, seen.min_ess_bulk_where, f"≥ {ESS:.0f}", few and (seen.min_ess_bulk or 0) < ESS),
        ("smallest tail ESS", seen.min_ess_tail, seen.min_ess_tail_where, f"≥ {ESS:.0f}", few and (seen.min_ess_tail or 0) < ESS),
        ("largest MCSE / sd", seen.max_mcse_over_sd, seen.max_mcse_over_sd_where, "weighed as ESS", False),
        ("divergences", seen.divergences, "", "0", "divergences" in weighed),
        ("saturated trajectories", seen.saturated, "", f"≤ {DIVERGENT_SHARE * total:.0f}", "depth limit" in weighed),
        ("Pareto k-hat of the weights", made.pareto_k, "", f"≤ {PARETO_K:g}", "importance weights" in weighed),
    ]
    rows = [row for row in wanted if row[1] is not None]
    columns = [
        texts("measure", "measure", [row[0] for row in rows]),
        numbers("value", "value", [row[1] for row in rows], 4),
        texts("wanted", "wanted", [row[3] for row in rows]),
    ]
    if any(row[2] for row in rows):
        columns.append(texts("where", "where", [readable(row[2], NAME) for row in rows]))
    return Table("Convergence", "", tuple(columns), len(rows), frozenset(index for index, row in enumerate(rows) if row[4]))


def weak(table: xr.Dataset) -> Table:
    """The directions of which the data say least."""
    share = table["share"].values
    columns = (
        texts("parameter", "weakest directions, led by", [readable(name, NAME) for name in table["parameter"].values]),
        Column("share", "share", share.tolist(), [f"{one:.0%}".replace("%", " %") for one in share]),
        numbers("sd", "sd along it", table["sd"].values),
    )
    return Table("Weakest directions", "", columns, len(share))


def traces(post: xr.DataTree) -> Table:
    """The draws behind the picture of the chains, every so many of long chains: a file without rows on the page."""
    names, theta = widest_apart(post)
    step = max(1, theta.shape[1] // _TRACED)
    kept = theta[:, ::step]
    chain, draw = np.meshgrid(np.arange(kept.shape[0]), np.arange(0, theta.shape[1], step), indexing="ij")
    return _file("traces.csv", {"chain": chain, "draw": draw} | {name: kept[..., k] for k, name in enumerate(names)})


def training(post: xr.DataTree) -> Table:
    """The losses behind the picture of the training."""
    group = post["training"].to_dataset()
    losses = {name: np.atleast_2d(group[name].transpose(..., "epoch").values) for name in ("train", "held_out") if name in group}
    shape = next(iter(losses.values())).shape
    member, epoch = np.indices(shape)
    return _file("training.csv", {"network": member, "epoch": epoch + 1} | losses)


def _file(name: str, columns: dict[str, Any]) -> Table:
    made = tuple(Column(key, key, np.ravel(values).tolist()) for key, values in columns.items())
    return Table(name, name, made, len(made[0].values))
