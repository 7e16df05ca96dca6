"""Known vulnerabilities of the locked packages: fails for those of run-time dependencies, and skips visibly when offline.

Run in the environment that hamlearn is installed in: ``python .ci/advisories.py``. pip-audit gets an environment of its
own, so that its dependencies are not ours. Advisories that do not concern us are listed, with the reason, in
``.ci/advisories.txt``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

HERE = Path(__file__).parent
PIP_AUDIT = "pip-audit==2.10.1"
SERVICES = ("pypi", "osv")  # the second is asked where the first knows none of the packages, as mirrors of PyPI do not
USERS_EXTRAS = ("neural", "zarr", "sklearn", "arviz-plots")  # what users run; the other extras are for building and judging hamlearn
SECONDS = 15.0  # for each service, and twice as many for the installation: a minute in all where nothing answers


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_time(package: str, extras: Iterable[str] = USERS_EXTRAS) -> set[str]:
    """What a package pulls in with some of its extras, by normal name; markers are those of this interpreter."""
    found: set[str] = set()
    waiting = [(package, extra) for extra in ("", *extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in requires:
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                found.add(normal(one.name))
                waiting += [(normal(one.name), wanted) for wanted in ("", *one.extras)]
    return found


def ignored(text: str) -> dict[str, str]:
    """Advisories to ignore and why, from lines ``ID: reason``; a line without a reason is an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = {name.strip(): reason.strip() for name, _, reason in (line.partition(":") for line in lines)}
    if bare := [name for name, reason in pairs.items() if not reason]:
        raise SystemExit(f".ci/advisories.txt ignores {', '.join(bare)} without a reason: write 'ID: why it does not concern us'.")
    return pairs


def judge(report: Mapping[str, Any], needed: set[str], accepted: Mapping[str, str]) -> tuple[list[str], bool]:
    """What to print of pip-audit's report, and whether a run-time dependency has a vulnerability that is not accepted."""
    known = [one for one in report["dependencies"] if "vulns" in one]
    unknown = [one["name"] for one in report["dependencies"] if "vulns" not in one]
    lines: list[str] = []
    failed, used = False, set[str]()
    for one in known:
        for found in one["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            mine = sorted(names & set(accepted))
            used |= set(mine)
            counts = normal(one["name"]) in needed and not mine
            failed |= counts
            why = f"ignored: {accepted[mine[0]]}" if mine else "FAILS" if counts else "no run-time dependency"
            fixed = ", ".join(found.get("fix_versions", ())) or "none"
            lines.append(f"{one['name']} {one['version']}: {found['id']} (fixed in: {fixed}; {why})")
    lines += [f"{name} is ignored and not reported any more: remove it" for name in sorted(set(accepted) - used)] if known else []
    lines.append(f"{len(known)} of {len(report['dependencies'])} packages looked up")
    if known and unknown:
        lines.append(f"skipped: {', '.join(unknown)}: the advisory service does not know them")
    return lines, failed


def audit(lock: Path, service: str, python: Path) -> Mapping[str, Any] | str:
    """pip-audit's report of a lock, or why there is none."""
    command = [
        python,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--no-deps",
        "-r",
        lock,
        "-s",
        service,
        "-f",
        "json",
        "--progress-spinner",
        "off",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return f"{service} did not answer in {SECONDS:.0f} s"
    except json.JSONDecodeError:
        return f"{service}: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}"
    if not any("vulns" in one for one in report["dependencies"]):
        return f"{service} knows none of the {len(report['dependencies'])} packages (a mirror without advisories?)"
    return report


def main() -> int:
    """Exit code: 1 for a vulnerability, 0 for none and for no answer."""
    accepted, needed = ignored((HERE / "advisories.txt").read_text()), run_time("hamlearn")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        try:
            install = [python, "-m", "pip", "install", "--quiet", PIP_AUDIT]
            subprocess.run(install, check=True, capture_output=True, timeout=2 * SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            print(f"skipped: {PIP_AUDIT} cannot be installed (offline?); no package was looked up")
            return 0
        for service in SERVICES:
            report = audit(HERE.parent / "requirements.lock", service, python)
            if not isinstance(report, str):
                lines, failed = judge(report, needed, accepted)
                print("\n".join(lines))
                return int(failed)
            print(f"skipped: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
