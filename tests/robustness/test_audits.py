"""A sample of the audits in benchmarks/robustness finds nothing, and finds what is planted.

The audits fork children from a process that has used nothing of hamlearn yet, so each test is a new process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDITS = Path(__file__).parents[2] / "benchmarks" / "robustness"

SAMPLE = """
import kills, damaged, odd, injections, threads
parts = [
    kills.audit(2, 1, "simulate over", quiet=True),
    damaged.audit(5, 1, quiet=True),
    odd.audit(40, 2, quiet=True),
    injections.audit(12, 1, quiet=True),
    threads.audit(4, 1, "simulate", quiet=True),
]
for part in parts:
    print(part.text())
raise SystemExit(sum(len(part.faults) for part in parts) > 0)
"""

PLANTED = """
import os, shutil
from pathlib import Path
import xarray as xr
import common, kills, damaged, odd, injections
common.import_everything()
import hamlearn as hl
from hamlearn import storage

def in_place(data, path):  # a partial file in the place of the whole one
    if str(path) == "s.nc":
        with open(path, "wb") as file:
            file.write(b"half")
        for _ in range(60):  # many moments
            os.rename(path, path)
    return whole(data, path)

whole, storage.write_dataset = storage.write_dataset, in_place
killed = kills.audit(4, 29, "Python, checkpoint", quiet=True)
storage.write_dataset = whole
hl.microstates = lambda path, space=None: xr.open_dataset(path, engine="h5netcdf").load()  # no digest is compared
damage = damaged.audit(12, 0, "states.nc", quiet=True)
part = common.Part("odd", "", "", quiet=True)
odd.judge(part, ("hl.learn(None)", "refused"), ("value", "x"), "")
odd.judge(part, ("hl.learn(None)", "refused"), ("raw", "KeyError: 0"), "")
odd.judge(part, ("hl.learn(1)", "same: hl.learn(2)"), ("value", "x"), "y")
kinds = lambda one: sorted({fault.kind for fault in one.faults})
print("kills", kinds(killed))
print("damaged", kinds(damage))
print("odd", kinds(part))
clean = "<html><body><p>one</p></body></html>"
for text in ("<p>one</p><script>1</script>", "<p onclick='x'>one</p>", "<p>one</p><!-- x -->", "<p>60481729</p>"):
    print("injections", injections.faults(clean.replace("<p>one</p>", text), clean))
crash = common.isolated(lambda: os.kill(os.getpid(), 11))
print("isolated", crash.kind, common.isolated(lambda: __import__("time").sleep(60), 0.5).kind, common.isolated(lambda: 1 / 0).kind)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{AUDITS}:{os.environ.get('PYTHONPATH', '')}", "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=1500)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the audits fork")
def test_a_sample_of_every_audit_finds_nothing():
    done = run(SAMPLE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert done.stdout.count("Faults: 0.") == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the audits fork")
def test_planted_faults_are_found():
    done = run(PLANTED)
    said = done.stdout.splitlines()
    assert done.returncode == 0 and len(said) == 8, done.stdout + done.stderr[-3000:]
    assert "unreadable target" in said[0]
    assert "accepted with other content" in said[1]
    assert said[2] == "odd ['other result', 'raw', 'silent']"
    assert all(line != "injections []" for line in said[3:7])
    assert said[7] == "isolated died hung raised"
