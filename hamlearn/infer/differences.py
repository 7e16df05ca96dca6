"""How two posteriors of the same unknowns differ: every parameter with its interval, and one statement on all of them together.

What is believed of differences comes from draws. Tests come from the data alone (:mod:`hamlearn.infer.wald`).
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from hamlearn.arguments import require_number, require_seed
from hamlearn.data import codes_of, require_same
from hamlearn.errors import HamlearnError
from hamlearn.infer import families, posteriors, wald
from hamlearn.infer.accepted import admit_posterior
from hamlearn.processes import verb

_SHOWN = 12  # rows of a printed table


@dataclass(frozen=True, eq=False)
class Differences:
    """How two posteriors differ, the first minus the second; printing it shows the largest differences and the statement on all.

    Attributes
    ----------
    table : Dataset
        Over ``parameter``: ``mean``, ``sd``, ``lower`` and ``upper`` of the difference, ``positive``, the posterior probability that it is
        larger than zero; ``p_value`` of no difference, two-sided, from the data alone, and ``q_value``, the false-discovery rate (Benjamini
        and Hochberg) at which it would be called different; these two are nan where ``unsaid`` says why.
    statistic, degrees : float, (int, float)
        Wald's statistic of all differences together, with their covariances, over their number; how many they are, and how well known
        their covariances are.
    p_value : float
        Of no difference at all: that F with these degrees of freedom is larger; nan where ``unsaid`` says why.
    quantity : str
        What was compared.
    unsaid : str
        Why there are no tests; empty where there are.
    level : float
        Of the intervals.
    notes : tuple of str
        What to be careful with.
    """

    table: xr.Dataset
    statistic: float
    degrees: tuple[int, float]
    p_value: float
    quantity: str
    unsaid: str
    level: float
    notes: tuple[str, ...] = ()

    def noted(self, notes: tuple[str, ...]) -> Differences:
        """The same, with these notes first."""
        return replace(self, notes=(*notes, *self.notes))

    def to_dataset(self) -> xr.Dataset:
        """The table, with the statement on all parameters in its attributes."""
        told = {"statistic": self.statistic, "parameters": self.degrees[0], "degrees": self.degrees[1], "p_value": self.p_value}
        return self.table.assign_attrs(**told, quantity=self.quantity, unsaid=self.unsaid, level=self.level, notes="\n".join(self.notes))

    @property
    def summary(self) -> str:
        """The statement on all of them, in a sentence."""
        count = self.degrees[0]
        if self.unsaid:
            return f"No test of {count} differences of {self.quantity}: {self.unsaid}."
        several = int((self.table["q_value"] < 0.1).sum())
        lone = f"{several} of {count} {'is' if several == 1 else 'are'} different at a false-discovery rate of 0.1"
        return f"That all {count} differences of {self.quantity} are zero has p = {self.p_value:.2g}; {lone}."

    def __str__(self) -> str:
        frame = self._largest()
        more = f"\n… and {self.table.sizes['parameter'] - len(frame)} more" if len(frame) < self.table.sizes["parameter"] else ""
        told = "".join(f"{note}\n" for note in self.notes)
        return f"{told}{self.summary}\n{frame.to_string(float_format=lambda value: f'{value:.3g}')}{more}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = self._largest().to_html(float_format=lambda value: f"{value:.3g}", border=0)  # escapes names, which may be a stranger's
        told = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<div>{told}<b>{html.escape(self.summary)}</b>{rows}</div>"

    def _largest(self) -> Any:
        """The table, the differences first that are most certain to have a sign."""
        frame = self.table.to_dataframe()
        sure = (frame["positive"] - 0.5).abs()
        return (
            frame.assign(sure=sure, far=(frame["mean"] / frame["sd"]).abs())
            .sort_values(["sure", "far"], ascending=False)[list(self.table.data_vars)]
            .head(_SHOWN)
        )


@verb
def compare(first: xr.DataTree, second: xr.DataTree, *, level: float = 0.9, seed: int = 0) -> Differences:
    """How two posteriors of the same unknowns differ: the couplings of two samples, subjects, temperatures or conditions.

    Parameters
    ----------
    first, second : DataTree
        Posteriors of one kind of model with the same parameters, learned from different microstates; or two groups of one posterior
        (:func:`hamlearn.infer.group`), whose draws belong together. Where temperatures are declared strengths are energies, and compared
        as such; where one is not, β times strengths are compared, and it is said.
    level : float
        Of the equal-tailed posterior intervals.
    seed : int
        How draws of independent posteriors are paired.

    Returns
    -------
    Differences
        ``print`` it, or take ``to_dataset()``.

    Raises
    ------
    HamlearnError
        If they are of different models, graphs, names or states, were learned from the same microstates, or have no parameters of which
        differences mean something.

    Notes
    -----
    The statement on all parameters is Wald's: d·V⁻¹d/p against F with p degrees of freedom and those that error bars are known with
    (infinitely many for the exact likelihood of independent rows, one less than batches otherwise). Bayes factors are not given: they
    would measure the width of the prior of differences, which nobody has said. Hotelling's F with fewer degrees is for covariances as
    they were sampled; these are shrunk, and its p-values are far too large (0.75 on average where they should be 0.5). Those of stand-ins
    are a little large, as error bars of fields are a little wide there (``benchmarks/calibration/comparisons.py``).

    Examples
    --------
    >>> import hamlearn as hl
    >>> lattice = hl.systems.lattice.hypercubic((2, 2), periodic=False)
    >>> worlds = [hl.systems.Ising(lattice, J=J) for J in (0.2, 0.8)]
    >>> data = [hl.simulate(world, beta=1.0, draws=500, seed=seed) for seed, world in enumerate(worlds)]
    >>> model = hl.models.Couplings(lattice, fields=None)
    >>> found = hl.compare(*(hl.learn(one, model, check=False, seed=0) for one in data))
    >>> bool(found.p_value < 0.001), found.to_dataset()["mean"].dims
    (True, ('parameter',))
    """
    pair = admit_posterior(first), admit_posterior(second)
    require_number(level, "level", above=0, below=1)
    seed = require_seed(seed)
    _require_alike(*pair)
    paired = "group_of" in pair[0].attrs and pair[0].attrs["group_of"] == pair[1].attrs.get("group_of")
    if pair[0].attrs["fingerprint"] == pair[1].attrs["fingerprint"]:
        raise HamlearnError(
            "both posteriors were learned from the same microstates: their errors are one and the same, not to be compared."
        )
    (names, first_draws), (others, second_draws) = (families.of(post).parameters(post) for post in pair)
    order = [others.index(name) for name in names]  # bonds of the second may be listed in another
    scales, quantity = _units(*pair)
    thetas = first_draws * scales[0], second_draws[..., order] * scales[1]
    moved = _differences(*thetas, paired, seed)
    low, high = np.quantile(moved, [(1 - level) / 2, (1 + level) / 2], axis=0)
    columns = {"mean": moved.mean(0), "sd": moved.std(0), "lower": low, "upper": high}
    columns["positive"] = (moved > 0).mean(0) + 0.5 * (moved == 0).mean(0)
    tested = wald.tested(wald.alone(pair[0]).times(scales[0]), wald.alone(pair[1]).times(scales[1]).only(order))
    columns |= {"p_value": tested.p_values, "q_value": wald.discovery_rates(tested.p_values)}
    table = xr.Dataset({name: ("parameter", one) for name, one in columns.items()}, coords={"parameter": np.array(names, dtype=str)})
    return Differences(table, tested.statistic, (len(names), tested.degrees), tested.p_value, quantity, tested.unsaid, level)


def _require_alike(first: xr.DataTree, second: xr.DataTree) -> None:
    """An error unless both have the same parameters of which differences mean something."""
    for post in (first, second):
        asked = families.traits(post)
        if asked.density or asked.closed:
            model = type(posteriors.model_of(post)).__name__
            raise HamlearnError(
                f"a posterior of {model} has no parameters to compare one by one: compare what hl.predict says of both; of a posterior "
                "of groups, two of these, hl.infer.group(post, name)."
            )
    kinds = [families.kind_of(post) for post in (first, second)]
    if kinds[0] != kinds[1]:
        raise HamlearnError(f"these are posteriors of different models, {kinds[0]} and {kinds[1]}: learn both with the same one.")
    spaces = [posteriors.space_of(post) for post in (first, second)]
    shapes = [posteriors.site_shape(post) for post in (first, second)]
    if spaces[0] != spaces[1] or shapes[0] != shapes[1]:
        told = " and ".join(f"{space.name} (q = {space.q}) on sites {shape}" for space, shape in zip(spaces, shapes, strict=True))
        raise HamlearnError(f"these are posteriors of different states or sites: {told}.")
    if (words := [codes_of(post) for post in (first, second)])[0] != words[1]:
        told = " and ".join(", ".join(map(str, one[:4])) for one in words)
        raise HamlearnError(f"these are posteriors of states that are called otherwise: {told}.")
    require_same(posteriors.site_names(first), posteriors.site_names(second), "the first posterior", "the second")
    labels = [families.of(post).parameters(post)[0] for post in (first, second)]
    if only := sorted(set(labels[0]) ^ set(labels[1])):
        whose = "first" if only[0] in labels[0] else "second"
        raise HamlearnError(f"only the {whose} posterior has the parameter {only[0]}: learn both on the same graph, with the same fields.")


def _units(first: xr.DataTree, second: xr.DataTree) -> tuple[list[float], str]:
    """What draws of each are multiplied by, and what is then compared."""
    declared = [bool(int(post.attrs["beta_declared"])) for post in (first, second)]
    if all(declared) or not any(declared):
        return [1.0, 1.0], "parameters" if all(declared) else "β times parameters (β was not declared)"
    betas = np.unique(posteriors.observed_betas(first if declared[0] else second))
    if len(betas) > 1:
        raise HamlearnError(
            "one posterior has data of several temperatures, the other an undeclared one: declare it, microstates(..., beta=)."
        )
    return [float(betas[0]) if here else 1.0 for here in declared], "β times parameters (β of one was not declared)"


def _differences(first: np.ndarray, second: np.ndarray, paired: bool, seed: int) -> np.ndarray:
    """Draws of the difference ``(draw, n_params)``: of those that belong together, or of all of one with some of the other."""
    flat = [one.reshape(-1, one.shape[-1]) for one in (first, second)]
    if paired and len(flat[0]) == len(flat[1]):
        return flat[0] - flat[1]
    generator, count = np.random.default_rng(seed), max(map(len, flat))
    chosen = [np.resize(generator.permutation(len(one)), count) for one in flat]
    return flat[0][chosen[0]] - flat[1][chosen[1]]


__all__ = ["Differences", "compare"]
