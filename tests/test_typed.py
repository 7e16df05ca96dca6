"""A type checker finds misspelt words, and rooms list what is theirs and nothing that they use."""

import tomllib
import typing
from pathlib import Path
from types import ModuleType

import pytest

import hamlearn as hl
from hamlearn import spaces
from hamlearn.infer import asked, settings, training
from hamlearn.models import priors
from hamlearn.systems.sampling import samplers


def test_the_type_check_reads_planted_faults():
    """The words of ``misspelt.py`` are found by mypy in the lint of continuous integration, where an unused ignore is an error."""
    told = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert "tests/misspelt.py" in told["files"] and told["warn_unused_ignores"]


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (
            asked.EngineName,
            ("auto", *settings.ENGINES, *(kind.name for kind in (training.Training, training.Bayesian, training.Variational))),
        ),
        (samplers.SamplerName, ("auto", *samplers.SAMPLERS)),
        (spaces.SpaceName, spaces.names()),
        (priors.PriorName, tuple(priors._PRIORS)),
    ],
)
def test_words_of_types_are_those_that_are_known(words, known):
    assert sorted(typing.get_args(words)) == sorted(known)


def rooms() -> list[ModuleType]:
    """The package and every module that a user reaches from it by public names."""
    found, todo = [], [hl]
    while todo:
        room = todo.pop()
        found.append(room)
        inside = [getattr(room, name) for name in room.__all__]
        todo += [one for one in inside if isinstance(one, ModuleType) and one not in found]
    return found


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.__name__)
def test_a_room_lists_what_is_its_own(room):
    """``dir`` shows what is public."""
    assert dir(room) == sorted(room.__all__)
    assert not {"Any", "Callable", "annotations", "np", "xr"} & set(dir(room))
