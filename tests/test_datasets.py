"""Public data sets: found by their checksum, refused where anything else lies or arrives, and told where they come from."""

import hashlib
import io
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import hamlearn as hl
from hamlearn.datasets import SOURCES, File, Source

CONTENT = b"ten bytes."
URL = "https://example.org/toy.bin"
TOY = Source(
    "toy",
    "ten bytes",
    "toy_folder",
    "https://example.org",
    "MIT",
    "nobody",
    (File("toy.bin", URL, 10, hashlib.sha256(CONTENT).hexdigest()),),
)


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """Where the toy's file goes in a cache of its own; no folder of the user's is named."""
    monkeypatch.setitem(SOURCES, "toy", TOY)
    monkeypatch.delenv("HAMLEARN_DATA", raising=False)
    monkeypatch.setattr(hl.datasets.fetching, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "toy_folder" / "toy.bin"


@pytest.fixture
def sends(monkeypatch):
    """``sends(answer)``: what the network gives, bytes or an exception; the list of addresses that were asked."""
    asked = []

    def set_answer(answer):
        def urlopen(url, timeout):
            asked.append(url)
            if isinstance(answer, Exception):
                raise answer
            return io.BytesIO(answer)

        monkeypatch.setattr(urllib.request, "urlopen", urlopen)
        return asked

    return set_answer


def get():
    return hl.datasets.path("toy", "toy.bin")


def test_a_file_is_fetched_once_and_then_found(cached, sends):
    asked = sends(CONTENT)
    assert not hl.datasets.available("toy") and not asked  # asking fetches nothing
    assert get() == get() == cached and cached.read_bytes() == CONTENT
    assert asked == [URL] and hl.datasets.available("toy")
    assert [one.name for one in cached.parent.iterdir()] == ["toy.bin"]


@pytest.mark.parametrize("left", [b"", b"ten by", b"TEN BYTES.", CONTENT + b"more"], ids=["empty", "partial", "corrupt", "longer"])
def test_what_is_no_good_in_the_cache_is_fetched_anew(cached, sends, left):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(left)
    asked = sends(CONTENT)
    assert get().read_bytes() == CONTENT and asked == [URL]


@pytest.mark.parametrize("sent", [b"", b"ten by", b"TEN BYTES.", b"x" * 10_000], ids=["empty", "partial", "corrupt", "endless"])
def test_another_file_than_the_owners_is_not_kept(cached, sends, sent):
    sends(sent)
    with pytest.raises(hl.HamlearnError, match="another file") as raised:
        get()
    assert not cached.exists() and TOY.files[0].sha256 in str(raised.value)


@pytest.mark.parametrize("failure", [urllib.error.URLError("Name or service not known"), TimeoutError("timed out"), ConnectionResetError()])
def test_without_a_network_one_line_says_where_it_comes_from_and_where_to_put_it(cached, sends, failure):
    sends(failure)
    with pytest.raises(hl.HamlearnError) as raised:
        get()
    said = str(raised.value)
    for part in (URL, "MIT", "10 bytes", TOY.files[0].sha256, str(cached), "toy_folder/toy.bin", "HAMLEARN_DATA"):
        assert part in said
    assert "\n" not in said and not cached.exists()


def test_a_folder_of_the_users_comes_first(cached, sends, monkeypatch, tmp_path):
    asked = sends(ConnectionResetError())
    own = tmp_path / "own" / "toy_folder" / "toy.bin"
    own.parent.mkdir(parents=True)
    monkeypatch.setenv("HAMLEARN_DATA", str(tmp_path / "own"))
    own.write_bytes(CONTENT)
    assert get() == own and hl.datasets.available("toy")
    own.write_bytes(CONTENT[:4])  # the user's file is never replaced, nor passed over in silence
    with pytest.raises(hl.HamlearnError, match="it has 4 bytes, and not 10"):
        get()
    assert not hl.datasets.available("toy") and own.read_bytes() == CONTENT[:4] and not asked
    own.unlink()
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert get() == cached
    monkeypatch.setenv("HAMLEARN_DATA", str(cached))
    with pytest.raises(hl.HamlearnError, match=r"HAMLEARN_DATA names .* which is no folder"):
        get()


def test_a_cache_that_cannot_be_made_is_said(cached, sends, tmp_path):
    sends(CONTENT)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(hl.HamlearnError, match="Set HAMLEARN_DATA"):
        get()


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(hl.HamlearnError, match="Did you mean 'neurons'"):
        hl.datasets.path("neuron", "x")
    with pytest.raises(hl.HamlearnError, match=r"'example15\.mat'"):
        hl.datasets.path("neurons", "x")
    with pytest.raises(hl.HamlearnError, match="rate 21 and 120"):
        hl.datasets.atoms(rate=42)


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda one: one.name)
def test_a_source_says_everything(source):
    assert all((source.title, source.folder, source.licence, source.cite)) and source.home.startswith("https://github.com/")
    owner = source.home.removeprefix("https://github.com/")
    for file in source.files:
        assert file.url.startswith(f"https://raw.githubusercontent.com/{owner}/") and file.url.endswith("/" + file.name)
        assert 0 < file.size < 4e6 and len(file.sha256) == 64


def test_the_sets_are_what_their_owners_say(data_dir):
    assert all(hl.datasets.available(name) for name in SOURCES)
    spikes, atoms, protein = hl.datasets.neurons(), hl.datasets.atoms(rate=120, step=0), hl.datasets.protein()
    assert spikes["state"].shape == (1, 40_000, 15) and spikes.attrs["licence"] == "MIT"
    assert atoms["state"].shape == (1, 500, 16, 16) and atoms.attrs["detuning"] == -1.78
    assert protein["state"].shape == (1, 13_600, 53) and 0 < protein["weight"].min() and protein["weight"].max() <= 1
    distance = hl.datasets.protein_distances()
    assert np.isfinite(distance).sum() == 2 * 1378 and np.array_equal(distance, distance.T, equal_nan=True)


def test_the_wiring_is_the_list_that_lies_beside_the_readouts(data_dir: Path):
    given = np.loadtxt(data_dir / "dwave2x_lanl_62q" / "chimera_edges_142.csv", delimiter=",", skiprows=1).astype(int)[:, :2]
    assert np.array_equal(hl.datasets.annealer_wiring(), given[np.lexsort((given[:, 1], given[:, 0]))])
