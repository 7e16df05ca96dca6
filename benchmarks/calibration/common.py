"""What the benchmarks of calibration and of other temperatures share: tables, files, versions."""

from __future__ import annotations

import json
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("hamlearn", "numpy", "scipy", "jax", "numpyro", "numba", "xarray")


def cache_compilation() -> None:
    """Keep what XLA compiles between runs of NUTS in one temporary folder: the benchmark repeats the same program."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(Path(tempfile.gettempdir()) / "hamlearn-benchmark-xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def versions(*more: str) -> dict[str, str]:
    """Versions of what took part; "absent" for a peer that is not installed."""
    found = {}
    for name in (*PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def write(script: Path, doc: str | None, text: str, record: dict[str, Any], name: str | None = None) -> None:
    """``results/<name>.md`` and ``.json`` beside the script."""
    folder = script.resolve().parent / "results"
    folder.mkdir(exist_ok=True)
    name = name or script.stem
    settings = "\n".join(f"- {key}: {value}" for key, value in {**record["settings"], "versions": record["versions"]}.items())
    head = (doc or "").strip().splitlines()[0]
    (folder / f"{name}.md").write_text(
        f"# {head}\n\nMade by `{script.name}`, whose docstring explains the columns.\n\n{text}\n{settings}\n"
    )
    text = json.dumps(record, indent=1)
    # Innermost lists and objects take a line each: records of many repetitions have thousands of them.
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    (folder / f"{name}.json").write_text(text + "\n")
