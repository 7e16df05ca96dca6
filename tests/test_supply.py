"""What is installed: the lock beside the constraints, and how known vulnerabilities of it are judged."""

from __future__ import annotations

import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import hamlearn as hl

ROOT = Path(__file__).parents[1]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def lock() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of every package of the lock."""
    text = re.sub(r"^#.*\n", "", (ROOT / "requirements.lock").read_text(), flags=re.M).replace("\\\n", " ")
    entries = [line.split() for line in text.splitlines() if line.strip()]
    return {normal(first.split("==")[0]): (first.split("==")[1], rest) for first, *rest in entries}


def test_the_lock_holds_the_versions_of_the_constraints_and_a_hash_of_each():
    found = lock()
    assert {name: version for name, (version, _) in found.items()} == constraints(), "run .ci/lock"
    for name, (_, hashes) in found.items():
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_lock_names_no_place_but_the_public_indexes():
    addresses = re.findall(r"\w+://[^\s]+|--[a-z-]*(?:index|links)[a-z-]*", (ROOT / "requirements.lock").read_text())
    assert set(addresses) == {"--extra-index-url", "https://download.pytorch.org/whl/cpu"}


def test_everything_that_the_project_asks_for_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    asked += [one for name, extra in extras.items() if name != "cuda" for one in extra]  # CUDA libraries follow the driver
    missing = {normal(re.split(r"[\s<>=\[!~;]", one)[0]) for one in asked} - set(lock()) - {"hamlearn"}  # an extra may hold another
    assert not missing


def test_workflows_use_nothing_that_can_change_and_keep_no_secret():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    if not workflows:
        pytest.skip("a source distribution has no .github")
    for path in workflows:
        text = path.read_text()
        used = re.findall(r"uses: (.*)", text)
        assert used and all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used), used
        assert "\npermissions: {}\n" in text and "secrets." not in text  # each job says what it may do; nothing is trusted but the place


def test_the_version_is_written_in_two_places_alike():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == hl.__version__


def advisories():
    if not (ROOT / ".ci").is_dir():
        pytest.skip("a source distribution has no .ci")
    spec = spec_from_file_location("advisories", ROOT / ".ci" / "advisories.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REPORT = {
    "dependencies": [
        {"name": "NumPy", "version": "2.4.6", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.4.7"]}]},
        {"name": "sphinx", "version": "9.0.4", "vulns": [{"id": "PYSEC-2", "aliases": [], "fix_versions": []}]},
        {"name": "scipy", "version": "1.17.1", "vulns": []},
        {"name": "private", "skip_reason": "not found"},
    ]
}


@pytest.mark.parametrize(
    ("accepted", "failed", "said"),
    [
        ({}, True, "NumPy 2.4.6: PYSEC-1 (fixed in: 2.4.7; FAILS)"),
        ({"CVE-1": "only on VAX"}, False, "NumPy 2.4.6: PYSEC-1 (fixed in: 2.4.7; ignored: only on VAX)"),
        ({"CVE-1": "only on VAX", "CVE-9": "gone"}, False, "CVE-9 is ignored and not reported any more: remove it"),
    ],
)
def test_only_a_vulnerability_of_a_run_time_dependency_that_is_not_accepted_fails(accepted, failed, said):
    lines, found = advisories().judge(REPORT, {"numpy", "scipy"}, accepted)
    assert found is failed and said in lines
    assert "sphinx 9.0.4: PYSEC-2 (fixed in: none; no run-time dependency)" in lines
    assert "3 of 4 packages looked up" in lines and any(line.startswith("skipped: private") for line in lines)


def test_what_hamlearn_needs_at_run_time_is_followed_to_its_ends():
    needed = advisories().run_time("hamlearn")
    assert {"numpy", "torch", "sympy", "mpmath", "jaxlib"} <= needed  # mpmath: of sympy, of torch
    assert not needed & {"pytest", "sphinx", "ruff", "optree"}  # extras of ours and of others


def test_the_core_pulls_in_nothing_that_an_extra_brings():
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {normal(re.split(r"[\s<>=\[!~;]", one)[0]) for one in core}
    needed = names.union(*(advisories().run_time(name, ()) for name in names))
    assert {"numpy", "jaxlib"} <= needed and not needed & {"torch", "pyro-ppl", "sympy", "zarr", "numcodecs", "pytest"}


def test_an_advisory_is_ignored_for_a_reason_only():
    assert advisories().ignored("# words\nCVE-1: only on VAX\n") == {"CVE-1": "only on VAX"}
    with pytest.raises(SystemExit, match="CVE-2 without a reason"):
        advisories().ignored("CVE-2:\n")


def test_without_a_network_no_package_is_looked_up_and_that_is_said(monkeypatch, capsys):
    module = advisories()
    monkeypatch.setattr(module, "audit", lambda lock, service, python: f"{service} cannot be reached")
    monkeypatch.setattr(module.venv, "create", lambda *arguments, **options: None)
    monkeypatch.setattr(module.subprocess, "run", lambda *arguments, **options: None)
    assert module.main() == 0
    assert capsys.readouterr().out.splitlines() == ["skipped: pypi cannot be reached", "skipped: osv cannot be reached"]
