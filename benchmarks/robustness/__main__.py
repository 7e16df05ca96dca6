"""All audits of robustness, and the table that they print.

    python benchmarks/robustness                        # everything, about an hour on two busy cores
    python benchmarks/robustness odd damaged            # only these; the others keep what was measured before
    python benchmarks/robustness kills --share 0/2      # every second case; another process may take 1/2
    python benchmarks/robustness --small                # a sample of each

writes ``benchmarks/robustness/results/robustness.md`` (and ``.json``, from which it is made) and exits with 1 if anything happened that
must not. Single audits run by themselves too: ``python benchmarks/robustness/kills.py --sample 50 --only zarr``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import subprocess
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import common
import damaged
import injections
import kills
import memory_rounds
import odd
import threads
import world

RESULTS = Path(__file__).parent / "results"
AUDITS = {  # name: (what runs, trials in full, trials of a small run)
    "kills": (kills.audit, 320, 24),
    "damaged": (damaged.audit, 440, 33),
    "odd": (odd.audit, 10_000, 60),
    "injections": (injections.audit, 400, 30),
    "threads": (threads.audit, 120, 20),
    "memory": (memory_rounds.audit, 200, 10),
    "world": (world.audit, 20, 2),
}
TRIED = {
    "kills": "kills",
    "damaged": "files",
    "odd": "inputs",
    "injections": "injections",
    "threads": "calls",
    "memory": "rounds",
    "world": "runs",
}


def commit() -> str:
    """The state of the library that was judged."""
    ask = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def keep(part: common.Part, state: str, share: str = "0/1") -> None:
    """Put a part beside the others and write the page anew; audits may run side by side."""
    RESULTS.mkdir(exist_ok=True)
    store = RESULTS / "robustness.json"
    lock = os.open(RESULTS, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
        stored = {name: one for name, one in known.get(part.name, {}).items() if name.split("/")[1] == share.split("/")[1]}
        known[part.name] = stored | {share: {**asdict(part), "commit": state}}
        store.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (RESULTS / "robustness.md").write_text(page(known), encoding="utf-8")
    finally:
        os.close(lock)


def page(known: dict[str, dict[str, Any]]) -> str:
    """The whole table."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "jax", "torch", "h5py", "zarr", "xarray"))
    lines = [
        "# What is lost, what crashes, who gets in",
        "",
        "Written by `python benchmarks/robustness`, which exits with 1 if there is a fault.",
    ]
    lines += [f"Python {platform.python_version()}, {versions}; {platform.system()}, two shared cores.", ""]
    lines += ["| audit | tried | faults | state |", "| --- | --- | --- | --- |"]
    parts = [_joined(known[name]) for name in AUDITS if name in known]
    for part, state in parts:
        lines.append(f"| {part.title} | {part.total(TRIED[part.name])} | {len(part.faults)} | {state} |")
    return "\n".join(lines) + "\n\n" + "\n".join(part.text() for part, _ in parts)


def _joined(shares: dict[str, dict[str, Any]]) -> tuple[common.Part, str]:
    """An audit from its shares, and the state of the library that they judged."""
    stored = [shares[name] for name in sorted(shares)]
    values = {key: value for key, value in stored[0].items() if key not in ("commit", "faults", "counts")}
    part = common.Part(**values, faults=[common.Fault(**fault) for one in stored for fault in one["faults"]])
    for one in stored:
        part.counts |= one["counts"]
    return part, ", ".join(dict.fromkeys(one["commit"] for one in stored))


def main() -> int:
    """Run the audits that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audits", nargs="*", metavar="AUDIT", help="all by default")
    parser.add_argument("--small", action="store_true", help="a sample of each; the committed results stay")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", default="0/1", help="of the kills: which of how many shares, from 0")
    options = parser.parse_args()
    if unknown := set(options.audits) - AUDITS.keys():
        parser.error(f"no audit called {', '.join(sorted(unknown))}; there are {', '.join(AUDITS)}")
    bad, state = 0, commit()
    for name in options.audits or AUDITS:
        audit, full, small = AUDITS[name]
        more = {"share": tuple(int(one) for one in options.share.split("/"))} if name == "kills" else {}
        part = audit(small if options.small else full, options.seed, **more)
        bad += common.finish(part)
        if not options.small:
            keep(part, state, options.share if more else "0/1")
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
