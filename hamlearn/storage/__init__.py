"""Files: reading what users have, writing what survives a full disk and a kill.

Everything is written beside its target and moved into place once complete, so that a partial file never poses as a
whole one and an existing file is not lost.
"""

from hamlearn.storage.guard import existing, readable
from hamlearn.storage.reading import READABLE, open_dataset, read_dataset, read_states, read_tree
from hamlearn.storage.results import write_dataset
from hamlearn.storage.table import Table
from hamlearn.storage.writing import require_writable, tidy, write_atomically

__all__ = [
    "READABLE",
    "Table",
    "existing",
    "open_dataset",
    "read_dataset",
    "read_states",
    "read_tree",
    "readable",
    "require_writable",
    "tidy",
    "write_atomically",
    "write_dataset",
]
