"""The picture of a learned action on held-out paths."""

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.plots import compare_paths

WELL = hl.systems.Path(16, hl.systems.DoubleWell(4.0, 2.8))


@pytest.fixture(scope="module")
def post():
    train = hl.systems.exact.sample(WELL, 5.0, 1000, seed=0)
    return hl.infer.learn(hl.microstates(train, space="reals", beta=5.0), hl.models.PolynomialAction())


def held_out(beta, size=600):
    return hl.systems.exact.sample(WELL, beta, size, seed=7)


def test_every_temperature_has_its_row_and_says_whether_it_was_observed(post):
    figure = compare_paths(post, [held_out(5.0), held_out(10.0)], [5.0, 10.0], WELL, draws=8)
    rows = np.reshape(figure.axes, (2, 4))
    assert [row[0].get_title() for row in rows] == ["β = 5, observed", "β = 10, not observed (learned at 5)"]
    for row in rows:
        assert [axes.get_xlabel() for axes in row] == ["true action minus mean", "x", "separation in slices", "kinks of a path"]
        assert float(row[0].get_legend().get_texts()[0].get_text().split("=")[1]) > 0.99
        assert sum(bar.get_height() for bar in row[3].patches) == pytest.approx(1, abs=0.02)


def test_the_band_of_the_density_follows_the_paths(post):
    axes = compare_paths(post, held_out(10.0, 3000), 10.0, draws=8).axes[1]
    curve, points = (line.get_ydata() for line in axes.lines[:2])
    np.testing.assert_allclose(curve, points, atol=0.05)


def test_mistakes_are_explained(post):
    with pytest.raises(hl.HamlearnError, match="one set of paths for every temperature"):
        compare_paths(post, [held_out(5.0)], [5.0, 10.0])
