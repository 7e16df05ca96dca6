"""Pictures of calibration: where ranks stray from uniform, and how often intervals of every level hold the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hamlearn.diagnostics.calibration import Ranks, bands
from hamlearn.plots.picture import Sheet, require_result, sheet
from hamlearn.plots.style import legend as explain

_LEVEL = 0.95  # of bands
_FAINT = 40  # lines beyond which each is fainter


def calibration(found: Ranks, *, legend: bool = True, axes: Any = None) -> Figure:
    """Ranks with their simultaneous band, and coverage of intervals of all levels.

    Parameters
    ----------
    found : Ranks
        What :func:`hamlearn.diagnostics.sbc` and its kin returned.
    legend : bool
        Explain the lines.
    axes : two matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in. Left: of every parameter the share of truths that lie below a rank, minus what uniform ranks give; the band
        holds a whole line with 95 %, and the line that strays most is red. Right: coverage minus its level, with the errors of 95 %.

    Raises
    ------
    HamlearnError
        If it is no such result.

    Examples
    --------
    >>> import hamlearn as hl
    >>> import numpy as np
    >>> learn = lambda data, seed: np.random.default_rng(seed).normal(data / 2, np.sqrt(0.5), size=(99, 1))
    >>> simulate = lambda truth, seed: truth[0] + np.random.default_rng(seed).normal()
    >>> hl.plots.calibration(hl.diagnostics.sbc(lambda rng: rng.normal(size=1), simulate, learn, n=100))
    <Picture size 840x310 with 2 Axes>
    """
    require_result(found, Ranks, "calibration", "hl.diagnostics.sbc")
    page = sheet(axes, 8.4, 3.1, 1, 2)
    left, right = page.axes
    _ranks(page, left, found)
    _coverage(page, right, found)
    if legend:
        explain(left, page.look)
        explain(right, page.look)
    return page.figure


def _ranks(page: Sheet, panel: Axes, found: Ranks) -> None:
    values, look = found.draws + 1, page.look
    share = np.arange(values + 1) / values
    low, high = (np.concatenate([[0.0], side, [1.0]]) - share for side in bands.band(len(found.ranks), values, _LEVEL))
    panel.fill_between(share, low, high, step="mid", color=look.grey, alpha=0.3, linewidth=0, label=f"{_LEVEL:.0%} of uniform ranks")
    worst, count = int(found.p_values.argmin()), found.ranks.shape[1]
    for k in [*(k for k in range(count) if k != worst), worst]:
        below = np.concatenate([[0], np.cumsum(np.bincount(found.ranks[:, k], minlength=values))]) / len(found.ranks)
        style = {"color": look.red} if k == worst else {"color": look.blue, "alpha": 0.6 if count < _FAINT else 0.2}
        panel.plot(share, below - share, linewidth=1, label=found.names[k] if k == worst else None, **style)
    panel.set_xlabel("rank of the truth among draws, as a share")
    panel.set_ylabel("share of truths below, minus uniform")


def _coverage(page: Sheet, panel: Axes, found: Ranks) -> None:
    look, covered = page.look, found.coverage
    level = covered["level"].values
    for k, (name, colour) in enumerate(zip(covered["of"].values, (look.blue, look.red, *(look.grey,) * covered.sizes["of"]), strict=False)):
        off, error = covered["coverage"].values[k] - level, 1.96 * covered["error"].values[k]
        if k == 0:
            panel.fill_between(level, off - error, off + error, color=colour, alpha=0.2, linewidth=0)
        panel.plot(level, off, color=colour, linewidth=1, label=f"{name} parameters" if k == 0 else str(name))
    panel.axhline(0, color=look.grey, linewidth=0.8)
    panel.set_xlabel("level of the interval")
    panel.set_ylabel("share that hold the truth, minus level")


__all__ = ["calibration"]
