"""Files from which an interrupted simulation continues."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.errors import HamlearnError
from hamlearn.storage import write_atomically

if TYPE_CHECKING:
    from hamlearn.systems.sampling.loop import Progress

_FORMAT = 1


def fingerprint(request: dict[str, Any]) -> str:
    """SHA-256 of a request: what must agree for a run to be continued."""
    text = json.dumps({"format": _FORMAT, **request}, sort_keys=True, default=lambda value: np.asarray(value).tolist())
    return hashlib.sha256(text.encode()).hexdigest()


class Checkpoint:
    """Where a run saves itself, and for which request.

    Parameters
    ----------
    path : str or path
        The file (NumPy's .npz format); it exists only while a run is unfinished.
    request : dict
        Everything that determines the result.
    """

    def __init__(self, path: Any, request: dict[str, Any]) -> None:
        self.path = Path(path)
        self.fingerprint = fingerprint(request)
        if not self.path.absolute().parent.is_dir():
            raise HamlearnError(f"cannot write checkpoints to {self.path}: its folder does not exist.")

    def load(self, fresh: tuple[Any, Progress]) -> tuple[Any, Progress]:
        """State and progress from the file, or `fresh` if there is none.

        Raises
        ------
        HamlearnError
            If the file belongs to another request or cannot be read.
        """
        if not self.path.exists():
            return fresh
        state, progress = fresh
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            found, plain = str(arrays["fingerprint"]), json.loads(str(arrays["plain"]))
            leaves = [arrays[f"state_{index}"] for index in range(len(state))]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise HamlearnError(f"{self.path} is no checkpoint of a simulation ({error}); remove it or name another file.") from error
        if found != self.fingerprint:
            raise HamlearnError(
                f"{self.path} is the checkpoint of another simulation (system, beta, draws, chains, seed, sampler, burn_in, "
                "thin or start differ); repeat that call to finish it, remove the file, or name another one."
            )
        groups: dict[str, dict[str, np.ndarray]] = {"kept": {}, "info": {}}
        for name, array in arrays.items():
            group, _, key = name.partition("_")
            if group in groups:
                groups[group][key] = array
        kept = {name: [array] for name, array in groups["kept"].items()}
        pilot = [arrays["pilot"]] if "pilot" in arrays else []
        return type(state)(*leaves), type(progress)(**plain, pilot=pilot, kept=kept, info=groups["info"])

    def save(self, now: tuple[Any, Progress]) -> None:
        """Write state and progress; the old file stays whole until the new one is."""
        state, progress = now
        plain = {f.name: getattr(progress, f.name) for f in fields(progress) if f.name not in ("pilot", "kept", "info")}
        arrays: dict[str, Any] = {"fingerprint": self.fingerprint, "plain": json.dumps(plain)}
        arrays |= {f"state_{index}": np.asarray(leaf) for index, leaf in enumerate(state)}
        arrays |= {f"kept_{name}": array for name, array in progress.result().items()}
        arrays |= {f"info_{name}": np.asarray(value) for name, value in progress.info.items()}
        if progress.pilot:
            arrays["pilot"] = np.concatenate(progress.pilot)

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:  # a handle: given a name, savez would append .npz to it
                np.savez(file, **arrays)

        write_atomically(self.path, write)

    def remove(self) -> None:
        """The run is finished: nothing is left to continue."""
        self.path.unlink(missing_ok=True)
