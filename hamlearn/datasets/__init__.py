"""Public data sets that others measured, for examples and tests: fetched once, compared with their checksums, never changed.

Each stays with its owner, under the owner's licence: :data:`SOURCES` says whose it is, what to cite, and which files it consists of. A file
is looked for in the folder that the environment variable ``HAMLEARN_DATA`` names, then in the user's cache, and is fetched otherwise.
"""

from hamlearn.datasets.fetching import available, cache, path
from hamlearn.datasets.loading import annealer, annealer_wiring, atoms, neurons, protein, protein_distances
from hamlearn.datasets.sources import SOURCES, File, Source

__all__ = [
    "SOURCES",
    "File",
    "Source",
    "annealer",
    "annealer_wiring",
    "atoms",
    "available",
    "cache",
    "neurons",
    "path",
    "protein",
    "protein_distances",
]


def __dir__() -> list[str]:
    return sorted(__all__)
