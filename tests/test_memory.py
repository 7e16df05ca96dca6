"""The bound on sizes: half of what the machine or its container has, and never an overflow on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hamlearn import memory
from hamlearn.errors import HamlearnError


@pytest.fixture
def gigabytes_4(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 4 * 2**30)


def test_half_is_the_bound_and_the_message_names_both_sizes(gigabytes_4):
    memory.require(2 * 2**30, "tables")
    with pytest.raises(HamlearnError, match=r"^tables of 5 sites need 2\.0 GiB of memory; at most 2\.0 GiB .*\. Ask for less\.$"):
        memory.require(2 * 2**30 + 1, "tables of 5 sites", "Ask for less.")


def test_sizes_beyond_any_float_are_refused_and_not_overflowed(gigabytes_4):
    with pytest.raises(HamlearnError, match="EiB"):
        memory.require(10**40, "draws")


def test_the_machine_says_at_most_its_physical_memory():
    if not Path("/proc/meminfo").is_file():
        pytest.skip("no /proc/meminfo on this machine to compare with")
    physical = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) * 1024
    memory.available.cache_clear()
    assert 2**20 < memory.available() <= physical


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="a POSIX machine is asked")
def test_a_machine_that_does_not_tell_refuses_only_the_absurd(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    monkeypatch.setattr(memory, "_limits", lambda *paths: [])
    memory.available.cache_clear()
    try:
        memory.require(2**49, "a cluster's worth")
        with pytest.raises(HamlearnError):
            memory.require(2**52, "too much")
    finally:
        memory.available.cache_clear()


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/user/job\n", {"user/memory.max": "3000000\n", "user/job/memory.max": "max\n"}, [3000000]),
        ("0::/\n", {"memory.max": "77\n"}, [77]),
        ("0::/../other\n", {"memory.max": "77\n"}, [77]),
        ("5:cpu:/x\n4:memory,hugetlb:/box\n", {"memory/box/memory.limit_in_bytes": "5000", "memory.max": "max"}, [5000]),
        ("nonsense\n", {}, []),
    ],
)
def test_limits_of_containers_are_read_in_both_versions(tmp_path, membership, files, expected):
    (tmp_path / "cgroup").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory._limits(tmp_path / "cgroup", tmp_path / "fs") == expected
    assert memory._limits(tmp_path / "absent", tmp_path / "fs") == []
