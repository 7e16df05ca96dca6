"""What an audit compares, finding by finding."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import wasserstein_distance

from hamlearn.arguments import require_beta
from hamlearn.diagnostics import wording
from hamlearn.diagnostics.audits import classifier, memorised, words
from hamlearn.diagnostics.audits import laws as kept
from hamlearn.diagnostics.audits import reach as temperatures
from hamlearn.diagnostics.audits import whole as distances
from hamlearn.diagnostics.audits.case import Case, paired
from hamlearn.diagnostics.audits.held import HeldOut
from hamlearn.diagnostics.audits.measures import Measure, in_chunks
from hamlearn.diagnostics.audits.permutations import difference, exchanges
from hamlearn.diagnostics.audits.result import AuditFinding
from hamlearn.diagnostics.audits.sides import Blocks
from hamlearn.diagnostics.holdout import MIN_BLOCKS
from hamlearn.errors import HamlearnError

_DISTANCES = 20  # exchanges that say what distance equal distributions have
_ONE_HOT = 256  # numbers of a microstate of labelled states above which it reads a number a site instead of one a state
_READ = 1024  # numbers of a microstate that the classifier reads one by one
_NOTHING = (np.nan,) * 4
_SUMS = ("correlation", "structure", "third", "fourth")  # what it reads besides


def measured(case: Case) -> Iterator[AuditFinding]:
    """Every measure."""
    for measure in case.measures:
        columns = case.columns(measure)
        blocks = case.blocks(*(max(map(side.time_of, _slow(case, measure, columns, k))) for k, side in enumerate(case.sides)))
        finding = AuditFinding(measure.name, measure.section, *_NOTHING, measure.unit, code=measure.code)
        if isinstance(blocks, str):
            yield replace(finding, decided=False, consequence=blocks)
        else:
            yield _compared(case, measure, columns, blocks, finding)


def _slow(case: Case, measure: Measure, columns: tuple[np.ndarray, np.ndarray], side: int) -> Iterator[np.ndarray]:
    """What a side must have renewed for its columns to be independent from block to block.

    How often a single level is visited forgets at once; what the levels share, such as the sign of a magnetization, does not, and a sum
    of squares adds that up. So the quantity itself and its distribution function are looked at as well.
    """
    yield columns[side]
    if measure.quantity and not measure.largest:
        yield case.values[measure.quantity][side][:, None]
        yield columns[side].cumsum(1)[:, :-1]


def _compared(
    case: Case, measure: Measure, columns: tuple[np.ndarray, np.ndarray], blocks: tuple[Blocks, Blocks], finding: AuditFinding
) -> AuditFinding:
    moved = case.moved(columns[1])
    found = difference(blocks[0].means(columns[0]), blocks[1].means(columns[1]), largest=measure.largest, moved=moved)
    if found.column < 0:
        return replace(finding, statistic=0.0, effect=0.0, effect_sd=0.0)
    where = measure.labels[found.column]
    effect, error, told = found.effect, found.error, wording.number(found.effect, found.error, measure.unit)
    if measure.quantity and measure.code != "mean":
        effect, error = _apart(case.values[measure.quantity], blocks)
        told = (
            f"a weight off by {wording.number(found.effect, found.error)}; the distributions lie {effect:.3g} {measure.unit} apart".strip()
        )
    sentence = words.CONSEQUENCES[measure.code].format(where=where, effect=told)
    return replace(
        finding, statistic=found.statistic, p_value=found.p_value, effect=effect, effect_sd=error, where=where, consequence=sentence
    )


def _apart(values: tuple[np.ndarray, np.ndarray], blocks: tuple[Blocks, Blocks]) -> tuple[float, float]:
    """Wasserstein's distance of the two distributions, and what it is on average where blocks are exchanged."""
    parts = [one[part.label == b] for one, part in zip(values, blocks, strict=True) for b in range(part.count)]
    null = []
    for chosen in exchanges(blocks[0].count, blocks[1].count, _DISTANCES):
        sides = [np.concatenate([part for part, taken in zip(parts, chosen, strict=True) if taken == side]) for side in (False, True)]
        null.append(wasserstein_distance(sides[0], sides[1]))
    return float(wasserstein_distance(values[0], values[1])), float(np.mean(null))


def laws(case: Case) -> Iterator[AuditFinding]:
    """What one side keeps in its first half, against how often its second half and the other side break it."""
    sides = (case.reference, case.model)
    for keeper, breaker in ((0, 1), (1, 0)):
        own, other = sides[keeper], sides[breaker]
        if len(own.rows) < 2 * MIN_BLOCKS:
            why = words.undecided(own.name, len(own.rows), 2 * MIN_BLOCKS, 2 * MIN_BLOCKS - len(own.rows))
            yield AuditFinding(f"what {own.name} keeps", "conserved", *_NOTHING, consequence=why, decided=False, code="laws")
            continue
        for law in kept.found(case.ground, own.rows[: len(own.rows) // 2]):
            name = law.name + (", which the reference breaks" if keeper else "")
            finding = AuditFinding(name, "conserved", *_NOTHING, "of patterns" if law.code == "patterns" else "of states", law.what)
            broken = [in_chunks(law.broken, side.rows)[:, None] for side in (own, other)]
            # What is never broken does not move: how fast rows are renewed is then told by local quantities.
            blocks = paired(
                *(
                    (side, max(case.renewed[k], side.time_of(one)))
                    for k, side, one in zip((keeper, breaker), (own, other), broken, strict=True)
                )
            )
            if isinstance(blocks, str):
                yield replace(finding, decided=False, consequence=blocks, code=law.code)
                continue
            first, second = blocks[0].second_half.means(broken[0]), blocks[1].means(broken[1])
            found = difference(first, second, largest=True, moved=case.moved(broken[1 - keeper]))
            told = {"share": words.share(float(second.mean())), "what": law.what, "keeper": own.name, "breaker": other.name}
            code = "forbidden" if law.code == "levels" else law.code
            more = found.effect > 0 and np.isfinite(found.p_value)  # broken more often than by chance: only this speaks against anything
            yield replace(
                finding,
                statistic=found.statistic,
                p_value=found.p_value if more else 1.0,
                effect=found.effect,
                effect_sd=found.error,
                consequence=words.CONSEQUENCES[code].format(**told),
                code=code,
            )


def memory(case: Case, held: HeldOut | None) -> Iterator[AuditFinding]:
    """Whether the model repeats its training set, beside rows that were held out of it; nothing where it is not given."""
    if held is None:
        return
    pair = [(side, side.slowest) for side in (held.training, held.reference)]
    nothing = AuditFinding("memory of the training set", "support", *_NOTHING, code="memory")
    blocks = paired(*pair)
    if isinstance(blocks, str):
        yield replace(nothing, decided=False, consequence=blocks)
        return
    encoded = []
    for (one, _), part in zip(pair, blocks, strict=True):
        rows = part.chosen(memorised.MOST_SEARCHED // part.count)
        encoded.append(case.ground.encoded(one.rows[rows.ravel()]).reshape(*rows.shape, -1))
    each = min(part.shape[1] for part in encoded)
    rows = case.model.rows[np.linspace(0, len(case.model.rows) - 1, min(memorised.MOST_DRAWN, len(case.model.rows))).round().astype(int)]
    found = memorised.memory(case.ground.encoded(rows).reshape(len(rows), -1), *(_evenly(part, each) for part in encoded))
    told = f"{words.share(found.copies)} of its rows are copies of training rows, where {words.share(found.chance)} are of held-out ones"
    yield replace(
        nothing,
        statistic=found.nearer,
        p_value=found.p_value,
        effect=found.nearer,
        effect_sd=found.spread,
        unit="nearer than chance",
        where=told,
        consequence=f"{words.CONSEQUENCES['memory']} {told[0].upper()}{told[1:]}.",
    )


def _evenly(blocks: np.ndarray, each: int) -> np.ndarray:
    return blocks[:, np.linspace(0, blocks.shape[1] - 1, each).round().astype(int)]


def whole(case: Case, seed: int) -> Iterator[AuditFinding]:
    """The two laws as a whole."""
    blocks = case.blocks(case.reference.slowest, case.model.slowest)
    names = ("energy distance", "maximum mean discrepancy", "classifier")
    empty = [AuditFinding(name, "whole", *_NOTHING, code=name) for name in names]
    if isinstance(blocks, str):
        yield from (replace(one, decided=False, consequence=blocks) for one in empty)
        return
    encoded, chosen = [], []
    for side, part in zip((case.reference, case.model), blocks, strict=True):
        chosen.append(part.chosen(distances.MOST_ROWS // part.count))
        encoded.append(case.ground.encoded(side.rows[chosen[-1].ravel()]).reshape(*chosen[-1].shape, -1))
    apart = None if case.members is None else functools.partial(case.members.apart, chosen[1].ravel())
    for finding, found in zip(empty[:2], distances.distances(encoded[0], encoded[1], apart).values(), strict=True):
        sentence = words.CONSEQUENCES[finding.code]
        yield replace(finding, statistic=found[0], p_value=found[1], effect=found[0], effect_sd=found[2], consequence=sentence)
    features = [_features(case, k, part.chosen(classifier.MOST_ROWS // part.count)) for k, part in enumerate(blocks)]
    if not classifier.installed():
        yield replace(empty[2], decided=False, consequence=words.NO_CLASSIFIER)
    elif not classifier.enough(features[0], features[1]):
        yield replace(empty[2], decided=False, consequence=f"undecided: needs {2 * classifier.LEAST} microstates of each to train on.")
    else:
        moved = None
        if case.members is not None:  # of the rows that it reads, as one function chosen for how they differ
            members, rows = case.members, blocks[1].chosen(classifier.MOST_ROWS // blocks[1].count)
            moved = lambda scores, held: members.adapted * members.among(rows[held].ravel(), scores)
        area, error, p_value = classifier.separation(features[0], features[1], seed, moved)
        sentence = words.CONSEQUENCES["classifier"].format(area=f"{area:.3f} ± {error:.3f}")
        yield replace(
            empty[2],
            statistic=area,
            p_value=p_value,
            effect=area - 0.5,
            effect_sd=error,
            unit="area under the curve",
            consequence=words.CONSEQUENCES["classifier"].format(area=f"{area:.3f} ± {error:.3f}"),
        )


def _features(case: Case, side: int, chosen: np.ndarray) -> np.ndarray:
    """What the classifier reads of rows ``(block, row)`` of a side: the values at every site, and sums over all of them."""
    rows = (case.reference, case.model)[side].rows[chosen.ravel()]
    space, numbers = case.ground.space, case.ground.encoded(rows[:1]).size
    own = rows.astype(float) if space.labelled and numbers > _ONE_HOT else case.ground.encoded(rows).reshape(len(rows), -1)
    parts = [own[:, :_READ]]
    parts += [pair[side][chosen.ravel()][:, None] for pair in case.values.values()]
    parts += [in_chunks(one.values, rows) for one in case.measures if one.code in _SUMS]
    return np.concatenate(parts, 1).reshape(*chosen.shape, -1)


def reach(case: Case, data: xr.Dataset, beta: Any) -> Iterator[AuditFinding]:
    """Which of the temperatures asked for the reference says anything of; nothing where none were."""
    if beta is None:
        return
    wanted = np.sort(np.atleast_1d(require_beta(beta, "beta")))
    if not case.ground.energies or not int(data.attrs.get("beta_declared", 0)):
        raise HamlearnError(
            "which temperatures data support is told from energies at a declared one: energy=, hl.microstates(..., beta=...)."
        )
    name = next(iter(case.ground.energies))
    energies = case.values[name][0]
    tau = case.reference.time_of(energies[:, None])
    left = temperatures.effective(energies, float(data["beta"]), wanted, len(energies) / tau)
    good = wanted[left >= temperatures.ENOUGH]
    own = float(data["beta"])
    told = {"low": f"{min(good, default=own):.4g}", "high": f"{max(good, default=own):.4g}", "worst": f"{left.min():.2g}"}
    sentence = words.ALL_SUPPORTED if np.all(left >= temperatures.ENOUGH) else words.CONSEQUENCES["range"]
    yield AuditFinding(
        "temperatures asked for",
        "range",
        float(left.min()),
        np.nan,
        float(left.min()),
        np.nan,
        "effective rows",
        f"β = {wanted[int(left.argmin())]:.4g}, by {name}",
        sentence.format(**told),
        flagged=bool(np.any(left < temperatures.ENOUGH)),
        code="range",
    )


__all__ = ["laws", "measured", "memory", "reach", "whole"]
