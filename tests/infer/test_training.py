"""Where and how densities are trained: devices, precision, several processes, checkpoints of variational training, progress."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import hamlearn as hl
from hamlearn.errors import HamlearnError
from hamlearn.infer import posteriors
from hamlearn.infer.engines.neural import torch_checkpoint, torch_devices, torch_training, torch_variational
from hamlearn.models.densities.build import build
from hamlearn.progress import track
from hamlearn.systems import SPINS, exact
from hamlearn.systems.base import space_from_name, states

Training, Variational = hl.infer.Training, hl.infer.Variational
ISING, BETA = hl.systems.Ising((3, 3)), 0.4
SMALL = hl.models.Autoregressive(hidden=16, symmetry=["z2"])


def ising_data(draws=300, seed=0):
    return hl.simulate(ISING, beta=BETA, draws=draws, chains=2, seed=seed)


def every_state():
    return (2 * exact.all_states(ISING.lattice) - 1).reshape(-1, 3, 3)


# -- devices and precision -----------------------------------------------------------------------------------------------

REALS, ANGLES = space_from_name("reals", 0), space_from_name("angles", 0)
Model, Flow = hl.models.Autoregressive, hl.models.Flow
ELSEWHERE = {
    "made": (Model(hidden=8, symmetry=["z2", "translation"]), SPINS, (4, 4)),
    "charge": (Model(hidden=8, charge=0), SPINS, (4, 4)),
    "beta": (Model("gru", hidden=8, condition="beta"), SPINS, (4, 4)),
    "pixelcnn": (Model("pixelcnn", hidden=8), SPINS, (4, 4)),
    "gru": (Model("gru", hidden=8, symmetry="internal"), states(3), (4, 4)),
    "transformer": (Model("transformer", hidden=8), SPINS, (4, 4)),
    "local": (Model("local", hidden=8, symmetry="z2"), REALS, (8,)),
    "von Mises": (Model(hidden=8), ANGLES, (4,)),
    "Beta": (Model(hidden=8, conditional="beta-mixture"), ANGLES, (4,)),
    "flow": (Flow("affine", layers=2, hidden=8, network="convolution"), REALS, (4,)),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_step_of_training_stays_on_its_device(name):
    """On torch's "meta" device, which refuses to mix with the CPU as a GPU does, and which every machine has."""
    model, space, shape = ELSEWHERE[name]
    density, there = build(model, space, shape), torch.device("meta")
    group, n = density.group, int(np.prod(shape))
    torch_devices.move(density, there)
    rows = torch.randint(2, (6, n), generator=torch.Generator()) if space.q else torch.rand(6, n, generator=torch.Generator())
    context = torch.ones(6, 2) if getattr(model, "condition", None) else None
    losses, _ = torch_training.losses_of(density, (rows, context, torch.ones(6)), torch.Generator(), group, there)
    assert losses.device == there and losses.dtype == torch.float32
    losses.sum().backward()
    optimiser = torch.optim.AdamW(torch_training._groups(density, Training()))
    torch.nn.utils.clip_grad_norm_(density.parameters(), 1.0)
    optimiser.step()
    torch_devices.move(build(model, space, shape), torch_devices.CPU)


def test_the_device_is_chosen_said_and_refused(monkeypatch):
    post = hl.infer.learn(ising_data(), SMALL, engine=Training(epochs=1, device="cpu"))
    told = posteriors.provenance_of(post).training
    assert told["device"] == "cpu" and told["precision"] == "float32" and told["processes"] == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_devices.choose("auto").type == "cpu"
    with pytest.raises(HamlearnError, match="sees no CUDA device here"):
        hl.infer.learn(ising_data(), SMALL, engine=Training(epochs=1, device="cuda"))
    with pytest.raises(HamlearnError, match="no CUDA device"):
        hl.approximate(ISING, BETA, SMALL, engine=Variational(steps=1, device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert torch_devices.choose("auto") == torch.device("cuda", 2) and torch_devices.choose("cpu").type == "cpu"


@pytest.mark.parametrize("network", ["made", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pixelcnn", "gru", "transformer"))])
def test_bfloat16_reaches_the_same_likelihood_and_stays_normalised(network):
    data, model = ising_data(1500), hl.models.Autoregressive(network, hidden=16)
    common = {"epochs": 4, "batch": 100, "learning_rate": 8e-3}
    posts = [hl.infer.learn(data, model, engine=Training(precision=name, **common), seed=2) for name in ("float32", "bfloat16")]
    nats = [posteriors.provenance_of(post).training["heldout_nats_per_site"][0] for post in posts]
    assert abs(nats[0] - nats[1]) < 1e-2
    assert posteriors.provenance_of(posts[1]).training["precision"] == "bfloat16"
    weights = [post["weights"].to_dataset() for post in posts]
    assert not weights[0].identical(weights[1]) and all(value.dtype == np.float32 for value in weights[1].values())
    log_q = hl.log_prob(posts[1], every_state()).values
    np.testing.assert_allclose(np.exp(log_q).sum(1), 1, atol=1e-10)


def test_only_the_network_is_reduced_and_only_inside():
    density = build(hl.models.Autoregressive(hidden=16), SPINS, (3, 3))
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(0.1)
    rows = torch.ones(4, 9, dtype=torch.long)
    exactly = density.ordered_log_prob(rows, None)
    with torch_devices.precision(density, "bfloat16", torch_devices.CPU):
        coarsely = density.ordered_log_prob(rows, None)
    assert coarsely.dtype == torch.float32 and not torch.equal(coarsely, exactly)
    torch.testing.assert_close(coarsely, exactly, rtol=0.03, atol=0.03)
    assert torch.equal(density.ordered_log_prob(rows, None), exactly)


# -- several processes ---------------------------------------------------------------------------------------------------

SCRIPT = """
import os, sys
import hamlearn as hl
data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.4, draws=303, chains=2, seed=0)
models = [hl.models.Autoregressive(hidden=8, symmetry=["z2", "translation"]), hl.models.Autoregressive("gru", hidden=4)]
for index, model in enumerate(models):
    engine = hl.infer.Training(epochs=2, batch=50, threads=1, checkpoint=f"{sys.argv[1]}/{sys.argv[2]}{index}.npz")
    post = hl.infer.learn(data, model, engine=engine, seed=3)
    hl.save(post, f"{sys.argv[1]}/{index}.{os.environ.get('RANK', 'alone')}.nc")
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    alone = [sys.executable, str(script), str(tmp_path), "alone"]
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), str(tmp_path), "two"]
    for command in (alone, together):
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
        assert result.returncode == 0, result.stderr[-2000:]
    for index in range(2):
        one, first, second = (hl.load(tmp_path / f"{index}.{name}.nc") for name in ("alone", "0", "1"))
        assert first["weights"].to_dataset().identical(second["weights"].to_dataset())
        assert first["training"].to_dataset().identical(second["training"].to_dataset())
        for name, value in one["weights"].to_dataset().items():
            np.testing.assert_allclose(first["weights"][name], value, atol=1e-5)
        assert posteriors.provenance_of(first).training["processes"] == 2
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["alone0.npz", "alone1.npz", "two0.npz", "two1.npz"]


def test_a_share_of_a_minibatch_per_process_adds_up_to_the_minibatch(monkeypatch):
    """Three processes in turn, their sums taken here: gradients are those of the whole minibatch."""
    density = build(hl.models.Autoregressive(hidden=8, symmetry=["translation"]), SPINS, (3, 3))
    rows = torch.randint(2, (10, 9), generator=torch.Generator().manual_seed(1))
    weight = torch.linspace(0.5, 1.5, 10)

    def gradient(processes):
        density.zero_grad()
        losses, own = torch_training.losses_of(density, (rows, None, weight), torch.Generator().manual_seed(2), processes=processes)
        ((losses * own).sum() / 10).backward()
        return torch.cat([parameter.grad.reshape(-1) for parameter in density.parameters()])

    whole = gradient(torch_devices.Processes())
    parts = [gradient(torch_devices.Processes(rank, 3)) for rank in range(3)]
    torch.testing.assert_close(sum(parts), whole, atol=1e-7, rtol=1e-5)
    assert not torch.allclose(parts[0] * 3, whole, atol=1e-4)


# -- checkpoints of variational training ---------------------------------------------------------------------------------


def interrupted(monkeypatch, step):
    """Ctrl-C after so many steps."""
    original, calls = torch_variational._score, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(torch_variational, "_score", stop)


def test_a_killed_approximation_resumes_bit_for_bit(monkeypatch, tmp_path):
    model = hl.models.Autoregressive(hidden=8, symmetry=["z2"], members=2)
    common = {"steps": 120, "batch": 20}
    whole = hl.approximate(ISING, BETA, model, engine=Variational(**common), seed=3)
    settings = Variational(checkpoint=tmp_path / "run.npz", **common)
    with monkeypatch.context() as patch:
        interrupted(patch, 120 + 70)  # the second member, between its records of steps 50 and 100
        with pytest.raises(KeyboardInterrupt):
            hl.approximate(ISING, BETA, model, engine=settings, seed=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.0.npz", "run.1.npz"]
    resumed = hl.approximate(ISING, BETA, model, engine=settings, seed=3)
    assert resumed["weights"].to_dataset().identical(whole["weights"].to_dataset())
    assert resumed["training"].to_dataset().identical(whole["training"].to_dataset())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.0.npz", "run.1.npz"]  # for whoever has saved the result to remove


OTHERS = {
    "lattice": (hl.systems.Ising((2, 4)), BETA, {}),
    "space": (hl.systems.Potts((3, 3), q=3), BETA, {}),
    "model": (ISING, BETA, {"hidden": 12}),
    "action": (hl.systems.Ising((3, 3), J=-1.0), BETA, {}),
    "beta": (ISING, 0.3, {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_approximation_is_left_alone_by_name(monkeypatch, tmp_path, caplog, name):
    settings = Variational(steps=60, batch=10, checkpoint=tmp_path / "run.npz")
    with monkeypatch.context() as patch:
        interrupted(patch, 55)
        with pytest.raises(KeyboardInterrupt):
            hl.approximate(ISING, BETA, hl.models.Autoregressive(hidden=8), engine=settings)
    system, beta, other = OTHERS[name]
    before = (tmp_path / "run.npz").read_bytes()
    hl.approximate(system, beta, hl.models.Autoregressive(**{"hidden": 8, **other}), engine=settings)
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "another training (" in told and f"{name}" in told.split("another training (")[1] and "left alone" in told
    assert (tmp_path / "run.npz").read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def explode(monkeypatch, step):
    original, calls = torch_variational._score, []

    def score(*arguments):
        calls.append(1)
        loss, total = original(*arguments)
        return (loss, total) if len(calls) < step else (loss * float("nan"), total)

    monkeypatch.setattr(torch_variational, "_score", score)


def test_a_diverged_approximation_keeps_the_last_good_weights_and_says_so(monkeypatch, tmp_path):
    good = []
    original = torch_checkpoint.host_weights
    with monkeypatch.context() as patch:
        explode(patch, 80)
        patch.setattr(torch_checkpoint, "host_weights", lambda density: good.append(original(density)) or good[-1])
        settings = Variational(steps=200, batch=20, checkpoint=tmp_path / "run.npz")
        post = hl.approximate(ISING, BETA, SMALL, engine=settings, seed=3)
    assert posteriors.provenance_of(post).training["stopped"] == ["diverged"] and posteriors.provenance_of(post).training["epochs"] == [50]
    for name, value in good[-1].items():
        np.testing.assert_array_equal(post["weights"][name].values[0], value)
    found = hl.verdict(post)
    assert found.level == "do not believe" and any("diverged after step 50" in one.what for one in found.reasons)
    assert any(str(tmp_path / "run.npz") in one.what for one in found.reasons) and (tmp_path / "run.npz").exists()
    with monkeypatch.context() as patch:
        explode(patch, 3)
        with pytest.raises(HamlearnError, match="variational training diverged at step 3"):
            hl.approximate(ISING, BETA, SMALL, engine=Variational(steps=100, batch=20))


# -- progress, and what is said of the data ------------------------------------------------------------------------------


def test_progress_shows_the_likelihood_and_the_epoch(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = []
    original = track.describe
    monkeypatch.setattr(track, "describe", lambda self, label: shown.append(label) or original(self, label))
    post = hl.infer.learn(ising_data(), SMALL, engine=Training(epochs=2, batch=100))
    nats = post["training"].to_dataset()["held_out"].values[0]
    for epoch, label in enumerate(shown, start=1):
        pattern = r"training: ([\d.]+) nats/site held out, epoch (\d)/2"
        value, number = re.fullmatch(pattern, label).groups()
        assert float(value) == pytest.approx(nats[epoch - 1], abs=1e-5) and int(number) == epoch
    assert len(shown) == 2


def test_the_bar_has_a_time_left(capsys):
    with track(3, "training", enabled=True) as bar:
        bar.advance(1)
    assert re.search(r"training  33% \|.*\| 00:00<", capsys.readouterr().err)


def test_the_shared_part_of_test_and_training_data_is_said_and_an_identical_set_refused():
    first, second = ising_data(500, seed=1), ising_data(500, seed=2)
    rows = [set(map(bytes, one["state"].values.reshape(-1, 9))) for one in (first, second)]
    expected = np.mean([bytes(row) in rows[0] for row in second["state"].values.reshape(-1, 9)])
    assert hl.infer.overlap(first, second) == pytest.approx(expected)
    with pytest.raises(HamlearnError, match="is the training set itself"):
        hl.infer.overlap(first, first.copy())
    post = hl.learn(first, SMALL, engine=Training(epochs=1), check=False)
    assert any("also occur in the training data" in found.what for found in hl.verdict(post).reasons)
    assert posteriors.provenance_of(post).training["overlap"] > 0.5


def test_settings_refuse_what_they_do_not_know():
    for wrong, message in [({"device": "tpu"}, "device"), ({"precision": "float16"}, "precision")]:
        with pytest.raises(HamlearnError, match=message):
            Training(**wrong)
    flow = hl.models.Flow("affine", layers=2, hidden=4)
    fields = hl.microstates(np.random.default_rng(0).normal(size=(100, 4)), "reals", 1.0)
    with pytest.raises(HamlearnError, match="transforms of a flow need 'float32'"):
        hl.infer.learn(fields, flow, engine=Training(epochs=1, precision="bfloat16"))
    assert hl.infer.training.recorded(Training(checkpoint="x")) == hl.infer.training.recorded(
        Training()
    )  # where it saves itself is no part of it
