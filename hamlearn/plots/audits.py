"""The picture of an audit: how much speaks against equal laws, comparison by comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hamlearn.diagnostics import Audit
from hamlearn.plots.picture import require_result, sheet
from hamlearn.plots.style import here

_LEAST = 1e-12  # smallest p-value that is drawn


def audit(found: Audit, *, ax: Any = None) -> Figure:
    """The corrected p-value of every comparison, on a logarithmic scale, and the level beyond which it speaks against the model.

    Parameters
    ----------
    found : Audit
        What :func:`hamlearn.audit` returned.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own by default.

    Returns
    -------
    Figure
        That was drawn in.

    Raises
    ------
    HamlearnError
        If it is no audit.

    Examples
    --------
    >>> import hamlearn as hl
    >>> samples = [hl.simulate(hl.systems.Ising((4, 4)), beta=0.4, draws=300, chains=4, seed=seed) for seed in (0, 1)]
    >>> hl.plots.audit(hl.audit(*samples))
    <Picture size 840x... with 1 Axes>
    """
    require_result(found, Audit, "audit", "hl.audit")
    shown = [one for one in found.findings if np.isfinite(one.p_adjusted)]
    page = sheet(ax, 8.4, 0.9 + 0.24 * len(shown))
    (panel,), look = page.axes, page.look
    places = np.arange(len(shown))[::-1]
    weight = np.array([-np.log10(max(one.p_adjusted, _LEAST)) for one in shown])
    colours = [look.red if one.flagged else look.blue for one in shown]
    panel.hlines(places, 0, weight, color=colours, linewidth=1.4)
    panel.scatter(weight, places, color=colours, s=18, zorder=3)
    here(panel, -np.log10(found.level), look)
    panel.set_yticks(places, [one.name for one in shown])
    panel.set_ylim(-1, len(shown))
    panel.set_xlim(left=0)
    panel.set_xlabel("−log₁₀ of the corrected p-value; dashed: beyond it, it speaks against the model")
    return page.figure
