"""``hamlearn critical``: microstates in files or a posterior go to the verb as they are meant, and its answer comes out in every form."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import xarray as xr

import hamlearn as hl
from hamlearn import cli, storage
from hamlearn.cli import documents, transition

BETAS, SIZES = [0.36, 0.40, 0.44, 0.48], (4, 8)
NPZ = [f"L{size}_{k}.npz" for size in SIZES for k in range(4)]
CSV = [name.replace("npz", "csv") for name in NPZ]
GIVEN = ("--system", "ising", "--beta", ",".join(map(str, 2 * BETAS)))


@pytest.fixture(scope="module")
def sets():
    return [hl.simulate(hl.systems.Ising((size, size)), BETAS, draws=400, chains=1, seed=size, progress=False) for size in SIZES]


@pytest.fixture(scope="module")
def found(sets):
    return hl.critical_point(sets, system=hl.systems.Ising)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sets):
    """The same microstates in a file a size, and in files of one size and temperature: lattices, and flat rows; and two posteriors."""
    place = tmp_path_factory.mktemp("critical")
    for size, data in zip(SIZES, sets, strict=True):
        storage.write_dataset(data, place / f"L{size}.nc")
        for k in range(4):
            states = data["state"].values[k, 0]
            np.savez(place / f"L{size}_{k}.npz", state=states)
            np.savetxt(place / f"L{size}_{k}.csv", states.reshape(len(states), -1), fmt="%d", delimiter=",")
    graph = hl.systems.lattice.hypercubic((4, 4))
    hl.save(hl.infer.learn(sets[0].sel(beta=[0.4]), hl.models.Couplings(graph, tie="uniform", fields=None)), place / "p.nc")
    return place


@pytest.fixture
def shell(folder, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hamlearn", "critical", *map(str, arguments)])
        code = cli.run()
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def asked(monkeypatch, found):
    """What the verb was asked, which answers at once."""
    kept = {}

    def answer(source, **options):
        kept.update(source=source, **options)
        return found

    monkeypatch.setattr(hl, "critical_point", answer)
    return kept


def test_files_of_sizes_are_answered_as_the_verb_answers(shell, found):
    assert shell("L4.nc", "L8.nc", "--system", "ising")[:2] == (0, f"{found}\n")


@pytest.mark.parametrize("files", [(*NPZ, *GIVEN), (*CSV, *GIVEN, "--dimension", "2")], ids=["lattices", "flat rows"])
def test_files_of_one_temperature_are_the_same_microstates(files, shell, asked, sets):
    code, _, err = shell(*files, "--independent", "--seed", 7)
    assert code == 0, err
    expected = [(size, beta, data["state"].sel(beta=beta).values) for size, data in zip(SIZES, sets, strict=True) for beta in BETAS]
    for (size, beta, states), got in zip(expected, asked["source"], strict=True):
        assert float(got["beta"]) == beta and got.attrs["independent"] == 1 and asked["seed"] == 7
        np.testing.assert_array_equal(got["state"].values, states)
        assert asked["system"]((size, size)).lattice.shape == (size, size)


def test_a_posterior_is_asked_with_sizes_of_the_command(shell, asked):
    code, _, err = shell("p.nc", "--sizes", "4,8,16", "--draws", 50, "--chains", 2, "--beta", "0.4,0.5", "--level", 0.8)
    assert code == 0 and isinstance(asked["source"], xr.DataTree), err
    assert {name: asked[name] for name in ("sizes", "draws", "chains", "beta", "level")} == {
        "sizes": [4, 8, 16],
        "draws": 50,
        "chains": 2,
        "beta": [0.4, 0.5],
        "level": 0.8,
    }


def test_json_has_every_number_and_a_page_goes_beside_it(shell, asked, found, folder):
    code, out, _ = shell("p.nc", "--json", "-o", "page.html")
    told = json.loads(out)
    assert code == 0 and told["schema"] == documents.CRITICAL and told["notes"] == list(found.notes)
    for name in ("temperature", "beta_c", "nu", "gamma_over_nu"):
        assert told[name] == getattr(found, name)._asdict()
    assert told["crossings"] == found.crossings.to_dict("records") and told["sizes"] == list(SIZES)
    assert f"{found.temperature.mean:.5g} ±" in (folder / "page.html").read_text()


@pytest.mark.parametrize("name", transition.SYSTEMS)
def test_every_system_is_made_on_any_shape(name, shell, asked):
    assert shell("L4.nc", "L8.nc", "--system", name)[0] == 0
    assert asked["system"]((4, 4)).lattice.shape == (4, 4)


REFUSED = {
    "microstates of nothing": ("L4.nc L8.nc", "say --system ising"),
    "one file of them": ("L4.nc", "--system ising"),
    "no such file": ("p2.nc", "no such file: p2.nc"),
    "an unknown system": ("L4.nc L8.nc --system icing", "Did you mean 'ising'"),
    "sizes of microstates": ("L4.nc L8.nc --system ising --sizes 8,16", "--sizes describes a posterior"),
    "sizes that are none": ("p.nc --sizes 8x16", "sizes are written like 8,16,32"),
    "several sizes": ("p.nc --sizes 8 16", "--sizes 8,16"),
    "states of spins": ("L4.nc L8.nc --system ising --q 4", "--q describes clock and potts"),
    "a dimension of a posterior": ("p.nc --dimension 2", "--dimension describes microstates"),
    "one size": ("L4.nc --system ising", "one size"),
    "flat rows": (f"{CSV[0]} {CSV[4]} --system ising --beta .3,.3", "rows of 16 sites are flat"),
    "rows of no cube": (f"{CSV[0]} --system ising --beta .3 --dimension 3", "rows of L^3 sites; got sites (16,)"),
    "too few temperatures": (f"{CSV[0]} {CSV[4]} --system ising --beta .3 --dimension 2", "2 files need one beta each"),
    "another space": ("L4.nc L8.nc --system xy", "sites of angles"),
    "the same twice": ("L4.nc L4.nc --system ising", "given twice"),
    "no page": ("L4.nc L8.nc --system ising -o x.nc", "must end in .html"),
    "two results": ("p.nc --json -o -", "--json and -o - would both"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_line(name, shell):
    arguments, message = REFUSED[name]
    code, out, err = shell(*arguments.split())
    (line,) = [line for line in err.splitlines() if line.startswith("hamlearn:")]
    assert code == 2 and not out and message in line and "Traceback" not in err, err
