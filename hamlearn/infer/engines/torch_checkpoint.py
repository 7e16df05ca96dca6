"""Files from which an interrupted training continues: arrays and JSON, never pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hamlearn.errors import HamlearnError
from hamlearn.models.autoregressive.build import with_weights
from hamlearn.models.autoregressive.symmetrised import Symmetrised
from hamlearn.storage import write_atomically


class Checkpoint:
    """Where a training saves itself, and what it must agree with to be continued.

    Parameters
    ----------
    path : str or path
        The file (NumPy's .npz format).
    request : dict of str
        What determines the result, each by name: model, space, sites, data, settings, seed.
    """

    def __init__(self, path: Any, request: dict[str, str]) -> None:
        self.path, self.request = Path(path), request
        if not self.path.absolute().parent.is_dir():
            raise HamlearnError(f"cannot write checkpoints to {self.path}: its folder does not exist.")

    def load(self, density: Symmetrised, optimiser: Any, generator: torch.Generator) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """History and best weights from the file, with everything else set to its state there; None if there is no file.

        Raises
        ------
        HamlearnError
            If the file is no checkpoint, or one of another model, lattice, space, data set, settings or seed.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            request, history = json.loads(str(arrays["request"])), json.loads(str(arrays["history"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise HamlearnError(f"{self.path} is no checkpoint of a training ({error}); remove it or name another file.") from error
        for name, wanted in self.request.items():
            if request.get(name) != wanted:
                raise HamlearnError(
                    f"{self.path} is the checkpoint of a training with another {name}: {_short(request.get(name))}, here {_short(wanted)}. "
                    "Repeat that call to finish it, remove the file, or name another one."
                )
        group = lambda prefix: {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        with_weights(density, group("now/"))
        parameters = list(density.parameters())
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in group("adam/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = torch.as_tensor(value)
        if state and len(state) != len(parameters):
            raise HamlearnError(f"{self.path} lacks the optimiser's state of some parameters; remove it.")
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        generator.set_state(torch.as_tensor(arrays["generator"]))
        return history, group("best/")

    def save(
        self, history: dict[str, Any], best: dict[str, np.ndarray], density: Symmetrised, optimiser: Any, generator: torch.Generator
    ) -> None:
        """Write all of it; the old file stays whole until the new one is."""
        arrays: dict[str, Any] = {"request": json.dumps(self.request), "history": json.dumps(history)}
        arrays["generator"] = generator.get_state().numpy()
        arrays |= {f"now/{name}": value for name, value in host_weights(density).items()}
        arrays |= {f"best/{name}": value for name, value in best.items()}
        for index, entries in optimiser.state_dict()["state"].items():
            arrays |= {f"adam/{index}/{key}": np.asarray(value.cpu()) for key, value in entries.items()}

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:  # a handle: given a name, savez would append .npz to it
                np.savez(file, **arrays)

        write_atomically(self.path, write)


def host_weights(density: Symmetrised) -> dict[str, np.ndarray]:
    """:func:`.build.weights_of` from whichever device they are on."""
    return {name: value.detach().cpu().numpy().copy() for name, value in density.state_dict().items()}


def _short(value: Any, limit: int = 120) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
