"""Whether rows are images of other rows: copies that were moved, mirrored, transposed or flipped as the model allows.

To a model with tied parameters an image of a row says what the row said already, and counts twice. All rows get the label of
their orbit: the largest overlap that any image of a row has with one random pattern, found for all translations at once by
Fourier transforms. Which moves leave the learned action unchanged is tried on the rows, not asked of the model's name.

Two things betray images. Of rows in order a whole stretch is repeated, label by label: how long a stretch cannot be chance
follows from how often two rows of these data share an orbit at all, so frozen chains and systems of few states do not alarm.
In any order more pairs share an orbit than in rows that the learned model is made to draw; continuous rows never do.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.stats

from hamlearn.diagnostics import holdout, wording
from hamlearn.diagnostics.signals.view import Signal, View
from hamlearn.errors import HamlearnError
from hamlearn.infer import families
from hamlearn.infer.observations import codes
from hamlearn.systems import sampling

CHANCE = 1e-9  # expected stretches that repeat by chance
SPACING = 5.0  # autocorrelation times between the rows of a stretch that are taken as independent
ALARM, SERIOUS = 5e-4, 1e-5  # of the excess of pairs
EXCESS = 0.1  # of the expected pairs: less may come from the error of the fitted model
LEVELS = 0.0, 0.5, 0.75  # quantiles of the action above which pairs are counted
MOST_DRAWN, CHAINS, BURN_IN = 20_000, 16, 100
FEWEST = 10  # pairs, or rows of repeated stretches
_TOLERANCE = 1e-6  # of the spread of actions: a symmetry holds exactly or not at all
NEAR = 5.0  # autocorrelation times within which a chain may repeat itself
_PROBES = 16
_VALUES = 3e7  # numbers that are transformed; of longer chains the first draws are looked at
_SAME = 1e-10  # of the largest overlap: what rounding leaves

Turn = tuple[tuple[int, ...], tuple[int, ...]]  # an order of the site axes, and which of them are reversed afterwards


@dataclass(frozen=True)
class Moves:
    """The moves of a lattice that leave an action unchanged.

    Attributes
    ----------
    shape : tuple of int
        Site axes.
    steps : tuple of int
        Translations along every axis are by multiples of these; the whole extent where there are none.
    turns : tuple
        Orders and reversals of axes, the first of which changes nothing.
    turned : bool
        Whether all values may be flipped, rotated or relabelled together.
    """

    shape: tuple[int, ...]
    steps: tuple[int, ...]
    turns: tuple[Turn, ...]
    turned: bool

    def __str__(self) -> str:
        orders = {order for order, _ in self.turns}
        named = {
            "moved": self.steps != self.shape,
            "mirrored": any(order == tuple(range(len(order))) and reverse for order, reverse in self.turns),
            "with axes exchanged": len(orders) > 1,
            "flipped or turned as a whole": self.turned,
        }
        return " or ".join(name for name, there in named.items() if there) or "unchanged"


def find(view: View) -> list[Signal]:
    """A finding if rows repeat others up to a symmetry of the learned model."""
    moves = symmetries(view)
    if view.weighted:
        return []
    labels = orbits(view, moves)
    tau = holdout.slowest_tau(view.data, symmetric=view.symmetric) if view.ordered else 1.0
    copied = repeated_stretches(labels, tau) if view.ordered else 0
    if copied >= FEWEST:
        told = f"{view.label}: {wording.count(copied)} of {wording.count(labels.size)} rows, and earlier ones,"
        # Each of these rows was taken twice, or all rows several times.
        return [_signal(view, moves, max(1 + 2 * copied / labels.size, labels.size / max(labels.size - copied, 1)), CHANCE, told)]
    if str(moves) == "unchanged" and not view.space.continuous:
        return []  # equal rows in any order are counted by `coincidences`
    return _excess(view, moves, labels, tau)


def symmetries(view: View) -> Moves:
    """The moves of the site axes that leave the action of rows, and of rows with sites shuffled, unchanged."""
    shape, event = tuple(view.system.lattice.shape), view.space.event_shape
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    some = flat[:: max(1, len(flat) // _PROBES)][:_PROBES].reshape(-1, math.prod(shape), *event)
    mixed = np.random.default_rng(0).permutation(some, axis=1)
    probes = np.concatenate([some, mixed]).reshape(-1, *shape, *event)
    before = view.action(probes.reshape(len(probes), -1))
    probes, before = probes[np.isfinite(before)], before[np.isfinite(before)]  # shuffled sites may be none that there are
    scale = float(np.std(before)) or float(np.abs(before).max()) or 1.0

    def holds(moved: np.ndarray) -> bool:
        return bool(np.max(np.abs(view.action(moved.reshape(len(probes), -1)) - before)) <= _TOLERANCE * scale)

    axes = range(len(shape))
    steps = tuple(
        next((step for step in range(1, size) if size % step == 0 and holds(np.roll(probes, step, 1 + axis))), size)
        for axis, size in enumerate(shape)
    )
    turns = [
        (order, reverse)
        for order in itertools.permutations(axes)
        if tuple(shape[axis] for axis in order) == shape
        for count in range(len(shape) + 1)
        for reverse in itertools.combinations([axis for axis in axes if shape[axis] > 1], count)
        if holds(_apply(probes, (order, reverse)))
    ]
    return Moves(shape, steps, tuple(turns), view.symmetric)


def _apply(rows: np.ndarray, turn: Turn) -> np.ndarray:
    """Rows ``(row, *site axes, ...)`` with their axes in another order, then reversed."""
    order, reverse = turn
    rest = range(1 + len(order), rows.ndim)
    return np.flip(rows.transpose(0, *(1 + axis for axis in order), *rest), tuple(1 + axis for axis in reverse))


def orbits(view: View, moves: Moves) -> np.ndarray:
    """Labels ``(chain, draw)``, the same for rows that are images of each other; of chains too long for it of the first draws."""
    chains, draws, _ = view.rows.shape
    per_row = math.prod(moves.shape) * len(moves.turns) * view.space.encode(view.rows[:1, :1]).shape[-1]
    kept = int(np.clip(_VALUES // (per_row * chains), 1, draws))
    rows, place = view.rows[:, :kept].reshape(chains * kept, -1), np.arange(chains * kept)
    if not view.space.continuous:  # equal rows are moved once
        _, first, place = np.unique(codes(rows), return_index=True, return_inverse=True)
        rows = rows[first]
    size = max(1, int(1e6 // per_row))
    key = np.concatenate([_overlaps(view, moves, rows[start : start + size]) for start in range(0, len(rows), size)])
    order = np.argsort(key, kind="stable")
    apart = np.diff(key[order], prepend=key[order[:1]]) > _SAME * max(float(np.abs(key).max()), 1e-300)
    label = np.empty(len(key), np.int64)
    label[order] = np.cumsum(apart)
    return label[place].reshape(chains, kept)


def _overlaps(view: View, moves: Moves, rows: np.ndarray) -> np.ndarray:
    """The largest overlap of the images of every row with one random pattern."""
    rng, axes = np.random.default_rng(0), tuple(range(1, 1 + len(moves.shape)))
    values = view.space.encode(rows).reshape(len(rows), *moves.shape, -1)
    pattern = np.conj(np.fft.rfftn(rng.normal(size=moves.shape)))[None, ..., None]
    mix = rng.normal(size=values.shape[-1])
    largest = np.full(len(rows), -np.inf)
    for turn in moves.turns:
        found = np.fft.irfftn(np.fft.rfftn(_apply(values, turn), axes=axes) * pattern, moves.shape, axes=axes)
        found = found[(slice(None), *(slice(None, None, step) for step in moves.steps))]
        overlap = np.linalg.norm(found, axis=-1) if moves.turned else found @ mix
        largest = np.maximum(largest, overlap.reshape(len(rows), -1).max(1))
    return largest


def repeated_stretches(labels: np.ndarray, tau: float) -> int:
    """Rows of stretches that repeat an earlier stretch, label by label, for longer than chance allows."""
    draws = labels.shape[1]
    counts = np.bincount(labels.ravel())
    shared = float((counts.astype(float) ** 2).sum()) / labels.size**2  # of two rows, copies included: rather too often
    if shared >= 1:
        return 0
    stride = 1 if tau <= 1 else math.ceil(SPACING * tau)
    needed = max(3, math.ceil(math.log(labels.size**2 / 2 / CHANCE) / -math.log(shared)))
    starts = draws - (needed - 1) * stride
    if starts < 1:
        return 0
    rng = np.random.default_rng(0)
    names = rng.integers(np.iinfo(np.int64).max, size=len(counts))[labels]
    weights = rng.integers(np.iinfo(np.int64).max, size=needed)
    with np.errstate(over="ignore"):
        window = sum(names[:, k * stride : k * stride + starts] * weights[k] for k in range(needed))
    _, first, where = np.unique(window, return_index=True, return_inverse=True)
    here, chain, start = np.arange(window.size), *np.divmod(np.arange(window.size), starts)
    earlier_chain, earlier = np.divmod(first[where.ravel()], starts)
    again = (here != first[where.ravel()]) & ((chain != earlier_chain) | (start - earlier > needed * stride))
    covered = np.zeros(labels.shape, bool)
    for offset in range((needed - 1) * stride + 1):
        covered[chain[again], start[again] + offset] = True
    return int(covered.sum())


def _excess(view: View, moves: Moves, labels: np.ndarray, tau: float) -> list[Signal]:
    """Pairs of one orbit against those of continuous rows (none) or of rows that the model draws.

    Discrete rows are also counted among the upper half and quarter of actions only, where chance makes far fewer pairs.
    """
    counts = np.ones(labels.shape) if view.counts is None else view.counts[:, : labels.shape[1]].astype(float)
    rows = float(counts.sum())
    near = min(math.ceil(NEAR * tau), labels.shape[1] - 1) if view.ordered and tau > 1 and view.counts is None else 0
    apart = 1 - near * (labels.shape[1] - (near + 1) / 2) * len(labels) / (rows * (rows - 1) / 2)  # share of pairs that are far in time
    if view.space.continuous:
        if _agree_by_chance(view, moves):
            return []
        settled = labels[np.diff(labels, axis=1, prepend=-1) != 0]  # a proposal that is refused leaves a row as it was
        found = [(_pairs(settled, np.ones(settled.size)), 0.0, 1.0, 1.0)]
    elif _pairs(labels.ravel(), counts.ravel()) - _near_pairs(labels, near) < FEWEST or (drawn := _drawn(view, moves)) is None:
        return []
    else:
        action = view.action(view.rows[:, : labels.shape[1]].reshape(labels.size, -1)).reshape(labels.shape)
        found = []
        for level in LEVELS:
            high = action >= np.quantile(action, level) - 1e-9 * np.ptp(action)
            share, scatter, error = _shared(*drawn, float(action[high].min()) - 1e-9 * float(np.ptp(action)))
            expected = apart * share * rows * (rows - 1) / 2
            # Poisson's part and that of rows which differ in how common they are; then what the drawn rows leave open.
            sd = math.sqrt(2 * expected + rows * tau * (rows * scatter) ** 2 + (rows**2 / 2 * error) ** 2 + 1)
            pairs = _pairs(labels[high], counts[high]) - _near_pairs(np.where(high, labels, -1), near)
            found.append((pairs, expected, sd, float(high.mean())))
    pairs, expected, sd, part = max(found, key=lambda one: (one[0] - one[1]) / one[2])
    p_value = min(1.0, len(found) * float(scipy.stats.t.sf((pairs - expected) / sd, CHAINS - 1)))
    if pairs - expected < max(FEWEST, EXCESS * expected) or p_value > ALARM:
        return []
    doubt = "" if view.space.continuous else ", or the model spreads its weight too widely"
    told = f"{doubt}{view.label}: {wording.count(pairs)} pairs of rows, where the model expects {wording.count(expected)},"
    return [_signal(view, moves, 1 + 2 * (pairs - expected) / part / rows, p_value, told)]


def _agree_by_chance(view: View, moves: Moves) -> bool:
    """Whether a pair of rows of independent sites could agree: few sites, and numbers of few digits."""
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    shared = [float((np.unique(column, return_counts=True)[1] ** 2.0).sum()) / len(flat) ** 2 for column in flat.T]
    images = len(moves.turns) * math.prod(size // step for size, step in zip(moves.shape, moves.steps, strict=True))
    return math.log(images * len(flat) ** 2 / 2) + float(np.log(shared).sum()) > math.log(FEWEST / 100)


def _near_pairs(labels: np.ndarray, near: int) -> float:
    """Pairs of one label (none of −1) within so many draws of a chain: a chain that stands still or comes back soon copies nothing."""
    equal = lambda lag: (labels[:, lag:] == labels[:, :-lag]) & (labels[:, lag:] >= 0)
    return float(sum(np.count_nonzero(equal(lag)) for lag in range(1, near + 1)))


def _pairs(labels: np.ndarray, counts: np.ndarray) -> float:
    if not labels.size:
        return 0.0
    total = np.bincount(labels, weights=counts)
    return float((total * (total - 1) / 2).clip(0).sum())


def _drawn(view: View, moves: Moves) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels and actions ``(chain, draw)`` of rows that the model draws; None where no sampler does.

    Single sites are moved from where the data are: a chain that stayed in one phase is compared with chains that do.
    """
    flat = view.rows.reshape(-1, view.rows.shape[-1])
    direct = families.traits(view.post).density  # it draws for itself
    most = MOST_DRAWN if direct or view.system.pure_jax else MOST_DRAWN // flat.shape[-1]  # what is stepped from Python is dear
    draws = min(len(flat), most) // CHAINS + 1
    if direct:
        density = families.evaluators(view.post)[0]
        states = density.sample(CHAINS * draws, 0, view.beta if density.conditioned else None)
    else:
        start = flat[np.linspace(0, len(flat) - 1, CHAINS).astype(int)].reshape(CHAINS, *moves.shape)
        sampler = "auto" if view.space.constraint else "metropolis"
        asked = {"draws": draws, "chains": CHAINS, "seed": 0, "sampler": sampler, "start": start, "burn_in": BURN_IN, "progress": False}
        try:
            states = sampling.simulate(view.system, beta=view.beta, **asked)["state"].values
        except HamlearnError:
            return None
    rows = states.reshape(CHAINS, draws, -1)
    labels = orbits(replace(view, rows=rows, counts=None, ordered=True), moves)
    return labels, view.action(rows[:, : labels.shape[1]].reshape(labels.size, -1)).reshape(labels.shape)


def _shared(labels: np.ndarray, action: np.ndarray, least: float) -> tuple[float, float, float]:
    """The share of pairs of rows of different chains in one orbit, with actions of at least so much, its scatter over rows and its error.

    The error is from the scatter of chains, so that it knows how slowly these moved; every row is in a pair as the first and as the second.
    """
    chains = np.arange(len(labels))[:, None]
    own = np.stack([np.bincount(chain, minlength=labels.max() + 1) for chain in labels])
    others = (own.sum(0) - own)[chains, labels] / ((len(labels) - 1) * labels.shape[1]) * (action >= least)
    return float(others.mean()), float(others.std()), 2 * float(others.mean(1).std(ddof=1)) / math.sqrt(len(labels))


def _signal(view: View, moves: Moves, times: float, p_value: float, told: str) -> Signal:
    """`times`: how often every row would have been taken, were all rows copied alike."""
    image = str(moves)
    same = "are equal" if image == "unchanged" else f"are equal up to a symmetry of the learned model (rows {image})"
    what = f"rows were copied{told} {same}; copies would make error bars too small by about {math.sqrt(times):.2g}"
    advice = "Give every observation once: leave out copies and their images, which tell this model nothing new."
    return Signal("serious" if p_value < SERIOUS else "caution", "repeated rows", what, advice, times, p_value, times)
