"""Peak resident memory of one run in memory and of the same run written to a Zarr folder as it is made.

    python benchmarks/systems/large_runs.py [draws ...]

Each run is a process of its own; what the process needs before it draws (imports, a short run of the same shapes, which compiles) is
measured in it and shown beside the peak. Peaks are those that the operating system counts (ru_maxrss).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time

DRAWS = (2_000, 10_000, 20_000)
EXTENT, CHAINS = 64, 4


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB


def child(draws, folder):
    import hamlearn as hl

    call = lambda count, **where: hl.simulate(
        hl.systems.Ising((EXTENT, EXTENT)), 0.4, count, CHAINS, sampler="heat_bath", burn_in=10, progress=False, **where
    )
    call(600)
    before, started = peak(), time.perf_counter()
    data = call(draws, **({"out": folder + "/run.zarr"} if folder else {}))
    print(json.dumps([before, peak(), time.perf_counter() - started, data.attrs["tau_int"]]))


def measured(draws, folder):
    job = subprocess.run([sys.executable, __file__, "child", str(draws), folder], capture_output=True, text=True, check=True)
    return json.loads(job.stdout)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(int(sys.argv[2]), sys.argv[3])
        sys.exit()
    heads = ["draws", "states", "before", "peak in memory", "peak with out=", "seconds in memory", "with out="]
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for draws in map(int, sys.argv[1:] or DRAWS):
        with tempfile.TemporaryDirectory() as folder:
            inside, outside = measured(draws, ""), measured(draws, folder)
        assert inside[3] == outside[3], "the two runs differ"
        size = draws * CHAINS * EXTENT**2 / 2**20
        told = [f"{draws}", f"{size:.0f} MiB", *(f"{one:.0f} MiB" for one in (outside[0], inside[1], outside[1]))]
        print("| " + " | ".join([*told, f"{inside[2]:.1f} s", f"{outside[2]:.1f} s"]) + " |", flush=True)
