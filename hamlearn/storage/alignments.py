"""Alignments of sequences, in FASTA (also A2M) and Stockholm: letters become states in a fixed order, the gap first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.storage.table import Table, tell

FASTA = (".fasta", ".fa", ".fas", ".faa", ".fna", ".afa", ".a2m", ".a3m")
STOCKHOLM = (".sto", ".stk", ".stockholm")
ALPHABETS = {"protein": "-ACDEFGHIKLMNPQRSTVWY", "RNA": "-ACGU", "DNA": "-ACGT"}
"""Letters in the order of their states."""
_UNSURE = {"protein": "XBZJOU", "RNA": "NRYSWKMBDHV", "DNA": "NRYSWKMBDHV"}  # several letters or a rare one: read as gaps
_INSERTED = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz.", np.uint8)


def read_alignment(text: bytes, target: Path, gaps: str | None = None, max_gaps: float | None = None) -> Table:
    """States of aligned sequences: 21 of proteins (``-ACDEFGHIKLMNPQRSTVWY``), 5 of RNA (``-ACGU``) and DNA (``-ACGT``).

    Parameters
    ----------
    text : bytes
        The file, unpacked.
    target : Path
        Its name.
    gaps : {"state", "missing"}, optional
        Whether a gap is the state 0 (the default), or a cell that was not observed, with the letters from 0.
    max_gaps : float, optional
        Columns with a larger share of gaps are left out.

    Raises
    ------
    HamlearnError
        If there are no sequences, they have different lengths, or letters of no alphabet.
    """
    name = target.name.lower().removesuffix(".gz")
    names, sequences = _stockholm(text, target) if name.endswith(STOCKHOLM) else _fasta(text, target)
    if not sequences:
        raise HamlearnError(f"{target} holds no sequences.")
    letters, kept = _matched(sequences, names, target, inserts=name.endswith((".a2m", ".a3m", *STOCKHOLM)))
    kind, states = _states(letters, names, target)
    share = (states == 0).mean(0)
    if max_gaps is not None:
        few = share <= max_gaps
        tell(str(target), "%d of %d columns have more than %g %% gaps and are left out", int((~few).sum()), few.size, 100 * max_gaps)
        if not few.any():
            raise HamlearnError(f"{target} has no column with at most {max_gaps:g} of gaps; the least is {share.min():.2g}.")
        states, kept = states[:, few], kept[few]
    told = "missing" if gaps == "missing" else "the state 0"
    alphabet = ALPHABETS[kind]
    tell(str(target), "%d sequences of %s, %d columns, states %s, %.2g %% gaps (%s)", *states.shape[:1], kind, states.shape[1], alphabet,
         100 * float((states == 0).mean()), told)  # fmt: skip
    columns = tuple(str(place + 1) for place in kept)
    said: dict[str, Any] = {"space": "states", "independent": True, "where": str(target)}
    if gaps == "missing":
        return Table(np.maximum(states - 1, 0).astype(np.int8), columns, missing=states == 0, q=len(alphabet) - 1, **said)
    return Table(states, columns, q=len(alphabet), **said)


def _fasta(text: bytes, target: Path) -> tuple[list[str], list[bytes]]:
    """Names and sequences, which may go over many lines."""
    if text.lstrip()[:1] not in (b">", b";", b""):
        raise HamlearnError(f"{target} is no FASTA file: it should begin with '>' and a name. Tables of letters are .csv or .txt.")
    names, sequences = [], []
    for entry in (b"\n" + text.lstrip()).split(b"\n>")[1:]:
        head, _, body = entry.partition(b"\n")
        names.append(_name(head))
        sequences.append(b"".join(body.split()).rstrip(b"*"))
    return names, sequences


def _stockholm(text: bytes, target: Path) -> tuple[list[str], list[bytes]]:
    """Names and sequences of the first alignment, which may be cut into blocks."""
    if not text.lstrip().startswith(b"# STOCKHOLM"):
        raise HamlearnError(f"{target} is no Stockholm file: it should begin with '# STOCKHOLM 1.0'.")
    found: dict[bytes, list[bytes]] = {}
    for line in text.splitlines():
        if line.startswith(b"//"):
            break
        if (words := line.split()) and not line.startswith(b"#"):
            if len(words) != 2:
                raise HamlearnError(f"{target} has a line that is no name with its sequence: {_name(line)!r}.")
            found.setdefault(words[0], []).append(words[1])
    return list(map(_name, found)), [b"".join(pieces) for pieces in found.values()]


def _name(head: bytes) -> str:
    return " ".join(head.decode("utf-8", "replace").split())[:40]


def _matched(sequences: list[bytes], names: list[str], target: Path, *, inserts: bool) -> tuple[np.ndarray, np.ndarray]:
    """Letters of the columns that are aligned ``(sequence, column)``, and which columns of the file they are.

    Lower case and dots are insertions, in A2M by definition and in Stockholm where whole columns hold nothing else beside gaps; they are
    dropped and told. Elsewhere lower case is a way to write.
    """
    lower = any(letter in _INSERTED for sequence in sequences for letter in set(sequence))
    lengths = {len(sequence) for sequence in sequences}
    if (lower and (inserts or len(lengths) > 1)) or any(b"." in sequence for sequence in sequences):
        shorter = [sequence.translate(None, _INSERTED.tobytes()) for sequence in sequences]
        if len({len(one) for one in shorter}) == 1 and len(shorter[0]):
            most = max(map(len, sequences)) - len(shorter[0])
            if len(lengths) > 1:  # A3M: insertions stand where they are, and columns are counted without them
                tell(str(target), "insertions (lower case and dots, up to %d in a sequence) are left out", most)
                return _stack(shorter), np.arange(len(shorter[0]))
            letters = _stack(sequences)
            inserted = np.isin(letters, _INSERTED)
            columns = inserted.all(0)
            if np.array_equal(inserted, np.broadcast_to(columns, inserted.shape)):
                tell(str(target), "%d of %d columns are insertions (lower case, dots) and are left out", int(columns.sum()), columns.size)
                return letters[:, ~columns], np.flatnonzero(~columns)
    if len(lengths) > 1:
        usual = max(lengths, key=[len(sequence) for sequence in sequences].count)
        odd = next(place for place, sequence in enumerate(sequences) if len(sequence) != usual)
        told = f"sequence {odd + 1}, {names[odd]!r}, has {len(sequences[odd])} letters, and most have {usual}"
        raise HamlearnError(f"{target} is ragged: {told}. All must be aligned, with '-' for gaps.")
    if not max(lengths):
        raise HamlearnError(f"{target} holds names and no sequences.")
    letters = _stack(sequences)
    return letters, np.arange(letters.shape[1])


def _stack(sequences: Iterable[bytes]) -> np.ndarray:
    return np.stack([np.frombuffer(sequence, np.uint8) for sequence in sequences])


def _states(letters: np.ndarray, names: list[str], target: Path) -> tuple[str, np.ndarray]:
    """What the sequences are of, and their states."""
    counts = np.bincount(letters.ravel(), minlength=256)
    upper = counts[:128].copy()
    upper[65:91] += upper[97:123]
    upper[97:123] = 0
    present = {chr(code) for code in np.flatnonzero(upper)} - set("-.~")
    nucleic = present <= set("ACGTUNRYSWKMBDHV") and upper[[ord(one) for one in "ACGTU"]].sum() >= 0.9 * sum(upper[65:91])
    kind = "protein" if not nucleic else "DNA" if "T" in present and "U" not in present else "RNA"
    table = np.full(256, -1, np.int8)
    for state, letter in enumerate(ALPHABETS[kind]):
        table[[ord(letter), ord(letter.lower())]] = state
    table[[ord(one) for one in "-.~"]] = 0
    if kind == "RNA":  # which may be written as its gene
        table[[ord("T"), ord("t")]] = ALPHABETS[kind].index("U")
    unsure = [ord(one) for letter in _UNSURE[kind] for one in (letter, letter.lower())]
    table[unsure] = 0
    states = table[letters]
    if (states < 0).any():
        row, column = np.argwhere(states < 0)[0]
        what = f"{chr(letters[row, column])!r} in sequence {row + 1}, {names[row]!r}, column {column + 1}"
        raise HamlearnError(f"{target} holds {what}, which is no letter of {kind} sequences ({ALPHABETS[kind]}) and no gap.")
    if read := int(counts[unsure].sum()):
        shown = "".join(letter for letter in _UNSURE[kind] if letter in present)
        tell(str(target), "%d letters that stand for several or rare ones (%s) are read as gaps", read, shown)
    return kind, states
