"""Lattices against counting by hand: neighbours at unit distance, bonds, colours, distances, and refusals."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import networkx
import numpy as np
import pytest

from hamlearn.errors import HamlearnError
from hamlearn.systems import lattice

# Coordination number and bonds of large periodic lattices: (constructor, sites, coordination number).
PERIODIC = {
    "chain": (lambda: lattice.hypercubic(7), 7, 2),
    "square": (lambda: lattice.hypercubic((4, 5)), 20, 4),
    "triangular": (lambda: lattice.triangular((4, 5)), 20, 6),
    "honeycomb": (lambda: lattice.honeycomb((3, 4)), 24, 3),
    "cubic": (lambda: lattice.hypercubic((3, 4, 5)), 60, 6),
    "four dimensions": (lambda: lattice.hypercubic((3, 3, 3, 3)), 81, 8),
}
# The same with open boundaries: bonds counted on paper.
OPEN = {
    "chain": (lambda: lattice.hypercubic(7, periodic=False), 6),
    "square": (lambda: lattice.hypercubic((4, 5), periodic=False), 3 * 5 + 4 * 4),
    "triangular": (lambda: lattice.triangular((4, 5), periodic=False), 3 * 5 + 4 * 4 + 3 * 4),
    "honeycomb": (lambda: lattice.honeycomb((3, 4), periodic=False), 12 + 2 * 4 + 3 * 3),
    "cubic": (lambda: lattice.hypercubic((2, 3, 4), periodic=False), 1 * 12 + 2 * 8 + 3 * 6),
}
# A new lattice adds one line; every contract below runs over it.
LATTICES = (
    {f"{name}, periodic": make for name, (make, *_) in PERIODIC.items()}
    | {f"{name}, open": make for name, (make, _) in OPEN.items()}
    | {
        "ring of 2": lambda: lattice.hypercubic(2),
        "torus 2x3": lambda: lattice.hypercubic((2, 3)),
        "torus 1x4": lambda: lattice.hypercubic((1, 4)),
        "triangular 2x2": lambda: lattice.triangular((2, 2)),
        "triangular, long and narrow": lambda: lattice.triangular((16, 2)),
        "triangular, wide": lambda: lattice.triangular((2, 13)),
        "honeycomb 1x1": lambda: lattice.honeycomb((1, 1)),
        "honeycomb, long and narrow": lambda: lattice.honeycomb((12, 1)),
        "complete": lambda: lattice.complete(6),
        "graph": lambda: lattice.graph([[0, 3], [3, 1], [4, 0]], 6),
        "second neighbours": lambda: lattice.hypercubic((4, 4)).pairs_within(1.5),
    }
)
every_lattice = pytest.mark.parametrize("graph", [pytest.param(make, id=name) for name, make in LATTICES.items()])


@pytest.mark.parametrize(("make", "sites", "coordination"), PERIODIC.values(), ids=PERIODIC)
def test_periodic_lattices_have_their_coordination_number(make, sites, coordination):
    graph = make()
    assert graph.n_sites == sites == math.prod(graph.shape)
    assert graph.degree.tolist() == [coordination] * sites
    assert graph.n_bonds == sites * coordination // 2
    assert len({frozenset(bond) for bond in graph.bonds.tolist()}) == graph.n_bonds


@pytest.mark.parametrize(("make", "bonds"), OPEN.values(), ids=OPEN)
def test_open_lattices_have_fewer_bonds(make, bonds):
    assert make().n_bonds == bonds


@pytest.mark.parametrize("name", PERIODIC)
def test_bonds_are_exactly_the_pairs_at_unit_distance(name):
    graph = PERIODIC[name][0]()
    near = {frozenset((i, j)) for i, j in itertools.combinations(range(graph.n_sites), 2) if abs(by_hand(graph, i, j) - 1) < 1e-9}
    assert {frozenset(bond) for bond in graph.bonds.tolist()} == near


def test_open_lattices_are_cut_only_at_the_boundary():
    for make in (lattice.hypercubic, lattice.triangular, lattice.honeycomb):
        wrapped, cut = make((4, 5)), make((4, 5), periodic=False)
        inside = {frozenset(bond) for bond in cut.bonds.tolist()}
        assert inside < {frozenset(bond) for bond in wrapped.bonds.tolist()}
        assert all(abs(cut.distances[i, j] - 1) < 1e-12 for i, j in cut.bonds)
        assert np.sum(np.abs(cut.distances - 1) < 1e-9) == 2 * cut.n_bonds


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (lattice.hypercubic(2), {(0, 1): 2}),
        (lattice.hypercubic((2, 2)), {(0, 1): 2, (2, 3): 2, (0, 2): 2, (1, 3): 2}),
        (lattice.hypercubic((2, 2), periodic=False), {(0, 1): 1, (2, 3): 1, (0, 2): 1, (1, 3): 1}),
        (lattice.honeycomb((1, 1)), {(0, 1): 3}),
        (lattice.hypercubic((1, 3)), {(0, 1): 1, (1, 2): 1, (0, 2): 1}),
    ],
    ids=["ring of 2", "torus 2x2", "open 2x2", "honeycomb 1x1", "flat torus"],
)
def test_a_periodic_extent_of_two_keeps_both_bonds(graph, expected):
    assert Counter(tuple(sorted(bond)) for bond in graph.bonds.tolist()) == expected


def test_hypercubic_bonds_run_axis_by_axis():
    graph = lattice.hypercubic((3, 4))
    sites = np.arange(12).reshape(3, 4)
    for axis in (0, 1):
        there = np.roll(sites, -1, axis)
        assert graph.bonds[axis * 12 : (axis + 1) * 12].tolist() == [[i, j] for i, j in zip(sites.flat, there.flat, strict=True)]


def test_all_pairs_come_in_the_order_of_triu_indices():
    assert lattice.complete(5).bonds.tolist() == [[i, j] for i in range(5) for j in range(i + 1, 5)]
    assert np.array_equal(lattice.complete(9).bonds.T, np.triu_indices(9, 1))


def by_hand(graph, i, j):
    """Distance of two sites: the shortest over images far away, or a breadth-first search."""
    if graph.positions is None:
        reached, frontier, steps = {i}, {i}, 0
        while frontier and j not in reached:
            frontier = {b for bond in graph.bonds.tolist() for a, b in (bond, bond[::-1]) if a in frontier} - reached
            reached |= frontier
            steps += 1
        return float(steps) if j in reached else math.inf
    difference = graph.positions[i] - graph.positions[j]
    if not graph.periodic:
        return math.dist(difference, np.zeros_like(difference))
    images = np.array(list(itertools.product(range(-14, 15) if len(graph.periods) == 2 else range(-2, 3), repeat=len(graph.periods))))
    return float(np.sqrt(((difference + images @ graph.periods) ** 2).sum(1)).min())


@every_lattice
def test_distances_against_a_search_over_many_images(graph):
    graph = graph()
    assert graph.distances.shape == (graph.n_sites,) * 2
    assert np.array_equal(graph.distances, graph.distances.T) or np.allclose(graph.distances, graph.distances.T)
    generator = np.random.default_rng(0)
    pairs = list(itertools.combinations(range(graph.n_sites), 2))
    for index in generator.choice(len(pairs), min(len(pairs), 60), replace=False):
        i, j = pairs[index]
        assert graph.distances[i, j] == pytest.approx(by_hand(graph, i, j)), (i, j)
    assert np.all(np.diag(graph.distances) == 0)


@every_lattice
def test_no_bond_joins_two_sites_of_one_colour(graph):
    graph = graph()
    colours = graph.colouring
    assert colours.shape == (graph.n_sites,)
    assert all(colours[i] != colours[j] for i, j in graph.bonds)
    assert set(colours.tolist()) == set(range(colours.max() + 1))


@every_lattice
def test_colours_by_saturation_are_those_of_networkx(graph):
    graph = graph()
    expected = networkx.greedy_color(graph.graph, strategy="DSATUR")
    assert graph._coloured_by_saturation().tolist() == [expected[site] for site in range(graph.n_sites)]


@pytest.mark.parametrize(
    ("graph", "colours"),
    [
        (lattice.hypercubic((4, 6)), 2),
        (lattice.hypercubic(5), 3),
        (lattice.honeycomb((3, 5)), 2),
        (lattice.triangular((6, 6)), 3),
        (lattice.complete(5), 5),
    ],
    ids=["checkerboard", "odd ring", "honeycomb", "triangular", "complete"],
)
def test_few_colours(graph, colours):
    assert len(set(graph.colouring.tolist())) <= colours + (graph.kind == "triangular")


@every_lattice
def test_neighbour_lists_hold_every_bond_twice(graph):
    graph = graph()
    sites, bonds = graph.neighbours
    assert sites.shape == bonds.shape == (graph.n_sites, graph.degree.max())
    for here in range(graph.n_sites):
        expected = sorted((int(i + j - here), index) for index, (i, j) in enumerate(graph.bonds) if here in (i, j))
        assert sorted((s, b) for s, b in zip(sites[here].tolist(), bonds[here].tolist(), strict=True) if s >= 0) == expected


@every_lattice
def test_round_trip_through_json(graph):
    graph = graph()
    back = lattice.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert (back.shape, back.kind, back.periodic) == (graph.shape, graph.kind, graph.periodic)
    assert np.array_equal(back.bonds, graph.bonds) and back.bonds.dtype == graph.bonds.dtype
    assert np.array_equal(back.distances, graph.distances)
    for name in ("positions", "periods"):
        ours, theirs = getattr(graph, name), getattr(back, name)
        assert (ours is None and theirs is None) or np.array_equal(ours, theirs)


def test_a_lattice_without_bonds_survives_json():
    lonely = lattice.hypercubic((1, 1))
    assert lonely.n_bonds == 0
    assert lattice.from_dict(json.loads(json.dumps(lonely.to_dict()))).bonds.shape == (0, 2)


@pytest.mark.parametrize(("radius", "per_site"), [(1.0, 4), (math.sqrt(2), 8), (2.0, 12), (2.3, 20)])
def test_pairs_within_a_radius_of_the_square_lattice(radius, per_site):
    graph = lattice.hypercubic((6, 6)).pairs_within(radius)
    assert graph.degree.tolist() == [per_site] * 36
    assert all(by_hand(graph, i, j) <= radius + 1e-9 for i, j in graph.bonds)


def test_pairs_within_a_radius_of_other_lattices():
    assert lattice.triangular((6, 6)).pairs_within(1.8).degree.tolist() == [12] * 36
    assert lattice.honeycomb((4, 4)).pairs_within(1.8).degree.tolist() == [9] * 32
    path = lattice.graph([[0, 1], [1, 2], [2, 3]])
    assert path.pairs_within(2).bonds.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("make", [lattice.hypercubic, lattice.triangular, lattice.honeycomb])
def test_resized_is_the_same_geometry(make, periodic):
    small, large = make((3, 4), periodic=periodic), make((5, 6), periodic=periodic)
    shape = large.shape
    again = small.resized(shape)
    assert (again.shape, again.kind, again.periodic) == (shape, large.kind, periodic)
    assert np.array_equal(again.bonds, large.bonds)


@pytest.mark.parametrize("graph", [lattice.complete(4), lattice.graph([[0, 1]]), lattice.hypercubic((4, 4)).pairs_within(1.5)])
def test_no_rule_for_other_sizes(graph):
    with pytest.raises(HamlearnError, match="no rule for other sizes"):
        graph.resized((6, 6))


def test_names_of_site_axes():
    assert lattice.hypercubic(5).site_dims == ("site",)
    assert lattice.honeycomb((3, 4)).site_dims == ("x0", "x1", "x2")


MISTAKES = {
    "out of range": (lambda: lattice.graph([[0, 1], [1, 7]], 5), r"bond 1 = \(1, 7\) is out of range: site indices run from 0 to 4"),
    "negative": (lambda: lattice.graph([[0, -1]]), r"bond 0 = \(0, -1\) is out of range"),
    "loop": (lambda: lattice.graph([[0, 1], [2, 2]]), "bond 1 joins site 2 to itself"),
    "repeated": (lambda: lattice.graph([[0, 1], [1, 2], [0, 1]]), r"bond \(0, 1\) is repeated; give each bond once"),
    "repeated backwards": (lambda: lattice.graph([[2, 5], [5, 2]]), r"bond \(2, 5\) is repeated"),
    "triples": (lambda: lattice.graph([[0, 1, 2]]), r"shape \(n_bonds, 2\); got shape \(1, 3\)"),
    "flat": (lambda: lattice.graph([0, 1]), r"got shape \(2,\)"),
    "a word": (lambda: lattice.graph("square"), r"a lattice such as hl\.systems\.lattice\.hypercubic"),
    "empty": (lambda: lattice.graph(np.zeros((0, 2), int)), "non-empty"),
    "fractions": (lambda: lattice.graph([[0.5, 1.0]]), "must hold integers"),
    "NaN": (lambda: lattice.graph([[np.nan, 1.0]]), "must hold integers"),
    "words": (lambda: lattice.graph([["a", "b"]], n_sites=4), "integer"),
    "zero extent": (lambda: lattice.hypercubic((3, 0)), "positive integers"),
    "negative extent": (lambda: lattice.hypercubic(-3), "positive integers"),
    "fractional extent": (lambda: lattice.hypercubic((2.5, 3)), "positive integers"),
    "triangular chain": (lambda: lattice.triangular((3,)), "two extents of at least 2"),
    "triangular strip": (lambda: lattice.triangular((1, 3)), "two extents of at least 2"),
    "honeycomb chain": (lambda: lattice.honeycomb(5), "honeycomb lattice has two extents"),
    "honeycomb of three": (lambda: lattice.honeycomb((3, 3, 3)), "honeycomb lattice has two extents"),
    "complete of one": (lambda: lattice.complete(1), "sites .* at least 2"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(HamlearnError, match=message):
        mistake()


def test_bonds_may_be_whole_floats_and_need_not_reach_the_last_site():
    graph = lattice.graph(np.array([[0.0, 2.0]]), n_sites=5)
    assert graph.n_sites == 5 and graph.bonds.dtype.kind == "i"
    assert graph.degree.tolist() == [1, 0, 1, 0, 0]
    assert lattice.as_lattice(graph) is graph
