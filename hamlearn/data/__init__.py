"""Microstates, the one data type that crosses rooms.

An :class:`xarray.Dataset` whose variable ``state`` has dims ``(chain, draw, *site dims)`` (a leading ``beta`` where
several temperatures were observed), the inverse temperature as coordinate ``beta``, and what is known of its origin
in attributes. Histograms carry ``count`` (how often a row was seen) or ``weight`` over ``(chain, draw)``.

Whatever comes in is checked by the same code: arrays, tables and files when microstates are made of them
(:func:`microstates`), Datasets at the door of every verb (:func:`admit`), whoever wrote or changed them.
"""

from hamlearn.data.codes import codes_of, recoded
from hamlearn.data.geometry import periodic, spacing
from hamlearn.data.making import build, microstates
from hamlearn.data.missing import complete_rows, missing
from hamlearn.data.names import as_names, names_of, require_same, word
from hamlearn.data.reading import (
    excerpt,
    fingerprint,
    folded,
    multiplicity,
    on_disk,
    open_microstates,
    rows,
    site_shape,
    split_by_beta,
    worth,
)
from hamlearn.data.readout import flips, known
from hamlearn.data.sequences import sequence_weights
from hamlearn.data.validation import SCHEMA, admit, admit_one, admit_states, flattened, space_of, validate

__all__ = [
    "SCHEMA",
    "admit",
    "admit_one",
    "admit_states",
    "as_names",
    "build",
    "codes_of",
    "complete_rows",
    "excerpt",
    "fingerprint",
    "flattened",
    "flips",
    "folded",
    "known",
    "microstates",
    "missing",
    "multiplicity",
    "names_of",
    "on_disk",
    "open_microstates",
    "periodic",
    "recoded",
    "require_same",
    "rows",
    "sequence_weights",
    "site_shape",
    "space_of",
    "spacing",
    "split_by_beta",
    "validate",
    "word",
    "worth",
]
