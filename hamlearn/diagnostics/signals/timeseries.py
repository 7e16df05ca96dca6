"""Whether rows are driven by the rows before them: a time series whose law no equilibrium couplings hold.

A sampler of p that updates sites one after the other passes, in the middle of a sweep, through states that are half new
and half old and distributed as p: a site and another one a row earlier are never more correlated, taken all together,
than two sites of one row. In a driven series they are: every row is drawn from the one before. They must also exceed
what sites remember of themselves, in which Metropolis sweeps of a fixed order at high temperature differ from a driven series.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.stats

from hamlearn.diagnostics.signals.view import Signal, View

OWN = 2.5  # times what sites remember of themselves (summed squares): hot Metropolis sweeps in a fixed order reach 2
MARGIN = 1.5  # how much stronger (in squares, summed over pairs) correlations in time must be than those in one row
ALARM, SERIOUS = 1e-4, 1e-6
LEAST = 0.03  # a largest correlation in time below this changes nothing
TURNING = -0.1  # correlation of a site with itself one row earlier that is worth a note
MAX_FEATURES = 400
BLOCKS = 24
FEWEST = 64  # draws
_VALUES = 4e9  # multiplications


def find(view: View) -> list[Signal]:
    """A finding if correlations between different sites are stronger in time than in one row."""
    draws = view.rows.shape[1]
    if not view.ordered or draws < FEWEST:
        return []
    features, site = standardised(view)
    if len(np.unique(site)) < 2:
        return []
    p_value, ratio, matrix = compare(features, site)
    i, j = np.unravel_index(int(np.argmax(np.abs(matrix))), matrix.shape)
    if p_value > ALARM or abs(matrix[i, j]) < LEAST:
        return _turning(features, site, view)
    if view.space.continuous and not _one_way(matrix):
        return []  # trajectories of Hamiltonian Monte Carlo turn modes at different speeds, both ways alike
    before, after = view.word(site[i]), view.word(site[j])
    what = (
        f"a time series: rows are driven by the rows before{view.label} (site {before} of the row before and site {after}: correlation "
        f"{matrix[i, j]:.2g}; correlations in time are {ratio:.3g} × as strong as those in one row); equilibrium couplings are not its law"
    )
    advice = "Use a kinetic model (one row given the row before), or rows so far apart that this is forgotten."
    severity = "serious" if p_value < SERIOUS else "caution"
    return [Signal(severity, "time series", what, advice, float(ratio), float(p_value), float(matrix[i, j]))]


def _turning(features: np.ndarray, site: np.ndarray, view: View) -> list[Signal]:
    """A note where a site tends to do the opposite of what it did one row earlier: no harm to couplings, but no plain sampling either."""
    own = (features[:, 1:] * features[:, :-1]).mean((0, 1))
    worst = int(np.argmin(own))
    z = -float(own[worst]) * np.sqrt(features.shape[0] * features.shape[1])
    if own[worst] > TURNING or z < 8:
        return []
    called = f"site {view.word(site[worst])}"
    what = (
        f"a time series{view.label}: {called} tends to change from one row to the next (correlation {own[worst]:.2g} with itself); "
        "couplings describe rows one by one, not how they follow each other"
    )
    return [Signal("note", "time series", what, "", z, float(scipy.stats.norm.sf(z)), float(own[worst]))]


def compare(features: np.ndarray, site: np.ndarray, lag: int = 1) -> tuple[float, float, np.ndarray]:
    """p-value, ratio of summed squares (in time over in one row), and correlations in time ``(earlier, later)`` of different sites.

    Sums of squares are taken between different blocks of rows, which leaves no noise in their expectation; the scatter
    over blocks left out is the error.
    """
    chains, draws, count = features.shape
    per_chain = max(2, BLOCKS // chains)
    edges = np.linspace(0, draws - lag, per_chain + 1).astype(int)
    apart = site[:, None] != site[None]
    later, same = [], []
    for chain in features:
        for start, stop in itertools.pairwise(edges):
            part = chain[start:stop]
            later.append((part.T @ chain[start + lag : stop + lag] / len(part))[apart])
            same.append((part.T @ part / len(part))[apart])
    in_time, in_row = np.stack(later), np.stack(same)
    gram_time, gram_row = in_time @ in_time.T, in_row @ in_row.T
    blocks = len(gram_time)
    value = lambda gram, keep: (gram[np.ix_(keep, keep)].sum() - gram[keep, keep].sum()) / (len(keep) * (len(keep) - 1))
    everything = np.arange(blocks)
    excess = value(gram_time, everything) - MARGIN * value(gram_row, everything)
    left = np.array([value(gram_time, keep) - MARGIN * value(gram_row, keep) for keep in (np.delete(everything, b) for b in everything)])
    error = np.sqrt((blocks - 1) / blocks * ((left - left.mean()) ** 2).sum())
    p_value = float(scipy.stats.t.sf(excess / max(error, 1e-300), blocks - 1))
    matrix = np.zeros((count, count))
    matrix[apart] = in_time.mean(0)
    own = sum((features[:, lag:, k] * features[:, :-lag, k]).mean() ** 2 for k in range(count))
    if value(gram_time, everything) < OWN * own:
        p_value = 1.0  # proposals that are nearly always accepted (hot Metropolis in fixed order) build up such correlations too
    floor = np.abs(gram_row).sum() / blocks**3  # what noise alone leaves
    return p_value, float(value(gram_time, everything) / max(value(gram_row, everything), floor, 1e-300)), matrix


def standardised(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features ``(chain, draw, k)`` and the site of each; sites are thinned evenly where there are very many."""
    (chains, draws, _), n = view.rows.shape, view.system.lattice.n_sites
    per_site = view.space.features
    most = int(min(MAX_FEATURES, max(16, np.sqrt(_VALUES / (chains * draws)))))
    sites = np.linspace(0, n - 1, min(n, max(2, most // per_site))).round().astype(int)
    rows = view.space.pick(view.rows, sites)
    columns = list(np.moveaxis(view.space.encode(rows)[..., :per_site], -1, 0))
    features, site = np.concatenate(columns, -1), np.tile(sites, len(columns))
    # Every chain by its own mean: chains that sit in different phases are another finding.
    features = features - features.mean(1, keepdims=True)
    scale = features.std((0, 1))
    live = scale > 1e-9
    return features[..., live] / scale[live], site[live]


def _one_way(matrix: np.ndarray) -> bool:
    """Whether correlations in time run one way: i before j differs from j before i by more than they have in common."""
    return bool(((matrix - matrix.T) ** 2).sum() > ((matrix + matrix.T) ** 2).sum() / 4)
