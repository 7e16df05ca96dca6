"""Pictures: the axes they take, the ground they are drawn for, what their marks stand for, and what they show."""

import io

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import hamlearn as hl
from hamlearn import plots
from hamlearn.plots.picture import sheet, titles
from hamlearn.plots.states import measured_correlation
from hamlearn.plots.style import DARK, LIGHT, on
from hamlearn.systems import exact, lattice

SQUARE = lattice.hypercubic((3, 3))


@pytest.fixture(scope="module")
def data():
    return hl.microstates(exact.sample(hl.systems.Ising(SQUARE), 0.3, 600, seed=0), space="spins", beta=0.3, periodic=True)


@pytest.fixture(scope="module")
def post(data):
    return hl.learn(data, hl.models.Couplings(SQUARE), engine="laplace", check=False, seed=0)


@pytest.fixture(scope="module")
def curves(post):
    return hl.predict(post, [0.2, 0.3], observables=["energy", "heat_capacity"], draws=8)


def panels(rows=1, columns=1, **settings):
    return Figure(**settings).subplots(rows, columns)


def test_axes_of_the_wrong_kind_or_number_are_one_line_with_the_way_out(post, curves):
    with pytest.raises(hl.HamlearnError, match=r"has 2 panels, so axes= takes as many axes, such as plt.subplots\(1, 2\)\[1\]; got 3"):
        plots.prediction(curves, axes=panels(1, 3))
    with pytest.raises(hl.HamlearnError, match="one panel, so ax= takes as many axes"):
        plots.couplings(post, ax=panels(2, 2))
    for wrong in (Figure(), "axes", [1, 2]):
        with pytest.raises(hl.HamlearnError, match="takes axes of matplotlib"):
            plots.prediction(curves, axes=wrong)


def test_given_axes_are_drawn_in_and_nowhere_else(post, curves):
    grid = panels(2, 2)
    assert plots.prediction(curves, axes=grid[0]) is grid[0, 0].figure
    assert all(ax.has_data() for ax in grid[0]) and not any(ax.has_data() for ax in grid[1])
    part = Figure().subfigures(1, 2)[0]
    assert plots.forest(post, ax=part.subplots()) is part.figure


def test_pictures_of_their_own_show_themselves_and_keep_their_ground(post):
    figure = plots.couplings(post)
    png, size = figure._repr_png_()
    assert png.startswith(b"\x89PNG") and size == {"width": 500, "height": 450}
    for ground, look in (("white", LIGHT), ("black", DARK)):
        with mpl.rc_context({"figure.facecolor": ground}):
            stream = io.BytesIO()
            plots.forest(post).savefig(stream, format="rgba", dpi=20)
            assert np.frombuffer(stream.getvalue(), np.uint8)[:4].tolist() == [
                *(np.array(mpl.colors.to_rgb(look.ground)) * 255).round(),
                255,
            ]


def contrast(one, other):
    """Of the WCAG: 4.5 is readable text, 3 a visible line."""
    light = []
    for colour in (one, other):
        rgb = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(light) / min(light)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_is_seen_on_its_ground(look):
    assert contrast(look.ink, look.ground) > 7
    assert min(contrast(colour, look.ground) for colour in (look.blue, look.red, look.grey, *look.shades)) > 3
    ends = look.diverging([0.0, 1.0])
    assert min(contrast(colour, look.ground) for colour in ends) > 4.5
    assert min(contrast(on(colour), colour) for colour in look.diverging(np.linspace(0, 1, 21))) > 3


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour, seen):
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.clip(np.array(seen) @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("kind", BLIND)
def test_signs_of_couplings_are_told_apart_by_readers_who_see_fewer_colours(look, kind):
    for low, high in (look.scale[::4], look.scale[1:4:2], (look.blue, look.red)):
        assert np.linalg.norm(lab(low, BLIND[kind]) - lab(high, BLIND[kind])) > 25


def test_a_plan_shows_what_was_asked():
    ring = hl.systems.Ising((4,))
    found = hl.plan(ring, width=0.3, effect=0.2, beta=[0.4, 0.8, 6.0])
    figure = plots.plan(found)
    left, right = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in right.get_lines()}
    np.testing.assert_allclose(lines["worst"], found.table["width"].sel(beta=found.beta).values[:, :4].max(-1))
    told = [text.get_text() for text in left.get_legend().get_texts()]
    assert {"intervals so narrow, worst", "strengths of that size found, median", "best"} <= set(told)
    assert plots.plan(hl.plan(ring, rows=100, beta=[0.4, 0.8])).axes[0].get_ylabel() == "widest interval of 100 microstates"
    with pytest.raises(hl.HamlearnError, match="no plan: got an object of type int"):
        plots.plan(3)


def test_marks_stand_for_what_is_drawn(post):
    figure = plots.couplings(post, names=list("abcdefghi"))
    (bonds, sites) = titles(figure).values()
    lines, points = (next(one for one in figure.axes[0].collections if one.get_gid() == gid) for gid in titles(figure))
    assert len(bonds) == len(lines.get_segments()) and len(sites) == len(points.get_offsets()) == 9
    mean = post["posterior"]["J"].mean(("chain", "draw")).values
    first = " – ".join("abcdefghi"[site] for site in SQUARE.bonds[0])
    assert f"{first}: {mean[0]:.3g} ± " in " ".join(bonds) and sites[0].startswith("site a: h = ")
    assert titles(Figure()) == {}


def test_draws_that_are_equal_share_a_rank(post):
    """Zeros of a sparse posterior are in no order: told apart by their place, each chain would have its own ranks."""
    tied = post.copy()
    draws = tied["posterior"].to_dataset()
    every_second = np.arange(draws.sizes["draw"])[:, None] % 2
    tied["posterior"] = draws.assign({name: (draws[name].dims, np.where(every_second, 0.0, draws[name].values)) for name in ("J", "h")})
    figure = plots.trace(tied, 1)
    heights = [steps.get_data().values for steps in figure.axes[1].patches]
    assert len(heights) == draws.sizes["chain"] and all(max(one) > 0.45 * draws.sizes["draw"] for one in heights)


def test_long_names_stand_beside_their_circles(post):
    figure = plots.couplings(post, names=[f"gagging {k}" for k in range(9)])  # letters that hang below their line
    canvas, axes = FigureCanvasAgg(figure), figure.axes[0]
    canvas.draw()
    circles = next(one for one in axes.collections if len(one.get_offsets()) == 9)
    radius = figure.dpi / 72 * (circles.get_sizes()[0] ** 0.5 + 0.8) / 2
    places = axes.transData.transform(circles.get_offsets())
    boxes = [one.get_window_extent() for one in axes.texts]
    assert len(boxes) == 9
    for box, (x, y) in zip(boxes, places, strict=True):
        assert np.hypot(max(box.x0 - x, 0), max(box.y0 - y, 0)) > radius


def test_long_names_of_pairs_leave_room_for_what_is_drawn(post):
    names = [f"I felt so restless that I could not sit still {k}" for k in range(9)]
    figure = plots.forest(post, names=names)
    canvas, axes = FigureCanvasAgg(figure), figure.axes[0]
    canvas.draw()
    assert axes.get_position().width > 0.4
    told = [one.get_text() for one in axes.get_yticklabels()]
    assert all(len(one) <= 34 and one.count("…") == 2 and " – I felt so" in one for one in told)
    label = axes.xaxis.label.get_window_extent()
    assert label.x0 >= 0 and label.x1 <= figure.bbox.width
    assert any(title.startswith(f"{names[0]} – {names[1]}: ") for title in next(iter(titles(figure).values())))


def test_names_must_be_one_for_every_site(post):
    for names in (["a"], "abcdefghi"):
        with pytest.raises(hl.HamlearnError, match="one name for every site, 9 of them"):
            plots.matrix(post, names=names)


def test_unknown_parameters_are_named_with_those_that_exist(post):
    with pytest.raises(hl.HamlearnError, match="no 'k'; it has J, h"):
        plots.forest(post, "k")


def test_data_lie_on_the_curve_of_their_own_posterior(post, data, curves):
    figure = plots.prediction(curves, measured=hl.infer.measured(post, data))
    told = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "90 % interval" in told and "the data ± 1 standard error" in told
    energy = next(one for one in titles(figure).values() if one[0].startswith("data at"))[0]
    mean, error = map(float, energy.split(": ")[1].split(" ± "))
    band = curves["energy"].sel(beta=0.3)
    assert abs(mean - float(band.sel(quantity="mean"))) < error + float(band.sel(quantity="upper") - band.sel(quantity="lower"))
    for wrong in (data, curves):
        with pytest.raises(hl.HamlearnError, match=r"hl\.infer\.measured"):
            plots.prediction(curves, measured=wrong)


def test_correlations_of_data_are_those_of_a_loop_over_pairs(data):
    states = data["state"].values[0].astype(float)
    along = [(states * np.roll(states, -1, axis)).mean() for axis in (1, 2)]
    r, mean, error = measured_correlation(data)
    assert r.tolist() == [0, 1] and mean == pytest.approx([1, np.mean(along)]) and error[0] == 0 < error[1]
    potts = hl.microstates((states > 0).astype(int), space="states", q=2, beta=0.3, periodic=True)
    assert measured_correlation(potts)[1] == pytest.approx(mean)
    assert measured_correlation(hl.microstates(np.pi * (states > 0), space="angles", beta=0.3, periodic=True))[1] == pytest.approx(mean)


def test_correlations_of_sites_that_lie_nowhere_ask_for_a_lattice(data):
    nowhere = hl.microstates(data["state"].values[0].reshape(-1, 9), space="spins", beta=0.3)
    with pytest.raises(hl.HamlearnError, match="give lattice="):
        plots.correlation(nowhere)
    assert plots.correlation(nowhere, lattice=SQUARE).axes[0].has_data()


def test_contacts_are_counted_as_they_are(post):
    known = np.zeros((9, 9), bool)
    known[0, 1] = True
    for given in (known, [[1, 0]]):
        legend = plots.contacts(post, given, separation=1, strongest=18).axes[0].get_legend()
        assert [text.get_text() for text in legend.get_texts()][1:] == ["1 of the strongest are contacts", "17 of the strongest are none"]
    for wrong in ([[0, 9]], np.zeros((3, 3, 3)), [[0.5, 1.0]], []):
        with pytest.raises(hl.HamlearnError, match="known= is a matrix"):
            plots.contacts(post, wrong)


def test_vortices_are_where_the_angle_winds(data):
    x, y = np.meshgrid(np.arange(6) - 2.5, np.arange(6) - 2.5)
    figure = plots.vortices(np.arctan2(y, x), lattice=lattice.hypercubic((6, 6), periodic=False))
    (place,) = [points.get_offsets().tolist() for points in figure.axes[0].collections if len(points.get_offsets()) == 1]
    assert place == [[2.5, 2.5]]
    with pytest.raises(hl.HamlearnError, match="vortices are of angles"):
        plots.vortices(data)
    with pytest.raises(hl.HamlearnError, match="one of 1 microstates"):
        plots.vortices(np.zeros((3, 3)), 4)
    for wrong in (None, xr.DataTree(), ["a", "b"]):
        with pytest.raises(hl.HamlearnError):
            plots.vortices(wrong)


STATES = {
    "spins": (np.ones((5, 3, 3)), {}),
    "states": (np.zeros((5, 3, 3), int), {"q": 9}),
    "angles": (np.ones((5, 3, 3)), {}),
    "reals": (np.ones((5, 3, 3)), {}),
    "vectors": (np.full((5, 3, 3, 3), 3**-0.5), {}),
}


@pytest.mark.parametrize("space", STATES)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_microstates_of_every_space_have_snapshots(space, axes):
    states, more = STATES[space]
    shape = {1: (5, 9), 2: (5, 3, 3), 3: (5, 3, 3, 1)}[axes] + states.shape[3:]
    data = hl.microstates(states.reshape(shape), space=space, beta=1.0, **more)
    figure = plots.snapshots(data, 2)
    assert len(figure.axes) == (1 if axes == 1 else 2)
    figure.savefig(io.BytesIO(), dpi=20)


def test_a_sheet_with_an_unfinished_last_row_has_no_empty_panel():
    assert len(sheet(None, 4, 4, 2, 2, 3).figure.axes) == 3
