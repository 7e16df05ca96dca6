"""Mistakes in Python: every odd argument of every verb, constructor and setting is one sentence that names it, never a traceback.

One table: what was called, the words that the sentence must hold, and the call. A new argument is a new line.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

import hamlearn as hl
from hamlearn import diagnostics
from hamlearn.errors import HamlearnError
from hamlearn.systems import exact, lattice

SQUARE = lattice.hypercubic((2, 2))
ISING = hl.systems.Ising((2, 2))
MODELS, SYSTEMS, INFER = hl.models, hl.systems, hl.infer
STATES = np.random.default_rng(0).choice([-1, 1], (60, 4))
NAN, INF = float("nan"), float("inf")


@cache
def data():
    return hl.microstates(STATES.reshape(60, 2, 2), beta=0.5)


@cache
def model():
    return MODELS.Couplings(SQUARE, fields=None)


@cache
def post():
    return hl.learn(data(), model(), engine="laplace", check=False)


@cache
def network():
    return hl.learn(data(), MODELS.Autoregressive(hidden=4), engine=INFER.Training(epochs=1), check=False)


def learn(**changes: Any) -> Any:
    return lambda: hl.learn(**{"data": data(), "model": model(), "engine": "laplace", "check": False, **changes})


def simulate(**changes: Any) -> Any:
    return lambda: hl.simulate(**{"system": ISING, "beta": 0.5, "draws": 5, "chains": 1, **changes})


def predict(**changes: Any) -> Any:
    return lambda: hl.predict(**{"post": post(), "beta": 0.5, "observables": ["energy"], "draws": 2, **changes})


NO_NUMBERS = {
    "none": None,
    "text": "x",
    "NaN": NAN,
    "infinite": INF,
    "complex": 1j,
    "true": True,
    "array": np.ones(2),
    "decimal": Decimal(1),
}
NOT_WHOLE = {"none": None, "text": "3", "float": 1e3, "half": 1.5, "NaN": NAN, "true": True, "list": [3], "array": np.arange(2)}
NO_SEEDS = {**NOT_WHOLE, "negative": -1, "too large": 2**63, "huge": 10**30}
NO_BETAS = {
    "zero": 0,
    "negative": -1.0,
    "NaN": NAN,
    "infinite": INF,
    "text": "x",
    "number in text": "0.5",
    "complex": 1j,
    "none": None,
    "true": True,
    "empty": [],
    "several axes": [[0.5]],
    "one NaN": [0.5, NAN],
    "one negative": [0.5, -0.5],
    "tiny": 1e-300,
    "dictionary": {"beta": 1},
    "a class": float,
}
SEEDED = {
    "learn": lambda seed: learn(seed=seed)(),
    "infer.learn": lambda seed: INFER.learn(data(), model(), engine="laplace", seed=seed),
    "simulate": lambda seed: simulate(seed=seed)(),
    "predict": lambda seed: predict(seed=seed)(),
    "rank": lambda seed: hl.rank({"one": model(), "two": model()}, data(), seed=seed),
    "plan": lambda seed: hl.plan(SYSTEMS.Ising((3,)), width=0.1, beta=0.5, seed=seed),
    "extrapolate": lambda seed: hl.extrapolate(post(), 0.7, seed=seed),
    "members": lambda seed: hl.draw_systems(post(), 2, seed=seed),
    "energy": lambda seed: hl.energy(post(), data(), draws=2, seed=seed),
    "action": lambda seed: hl.action(post(), data(), draws=2, seed=seed),
    "sample": lambda seed: hl.sample(network(), 2, seed=seed),
    "estimate": lambda seed: hl.estimate(network(), n=10, seed=seed),
    "correct": lambda seed: INFER.correct(network(), ISING, 0.5, 2, 2, seed=seed),
    "approximate": lambda seed: hl.approximate(ISING, 0.5, MODELS.Autoregressive(hidden=2), INFER.Variational(steps=1, batch=2), seed=seed),
    "compare_actions": lambda seed: INFER.compare_actions(post(), data(), ISING, 0.5, 2, seed=seed),
    "log_prob_band": lambda seed: INFER.log_prob_band(network(), data(), seed=seed),
    "distill": lambda seed: INFER.distill(STATES.reshape(-1, 2, 2), np.ones(60), seed=seed),
    "exact.sample": lambda seed: exact.sample(ISING, 0.5, 3, seed=seed),
    "check": lambda seed: diagnostics.check(data(), model(), seed=seed),
    "judge": lambda seed: diagnostics.judge(post(), data(), seed=seed),
    "symmetry": lambda seed: diagnostics.symmetry(post(), data(), seed=seed),
    "locality": lambda seed: diagnostics.locality(ISING, data(), seed=seed),
    "EdwardsAnderson": lambda seed: SYSTEMS.EdwardsAnderson((2, 2), seed=seed),
    "SherringtonKirkpatrick": lambda seed: SYSTEMS.SherringtonKirkpatrick(4, seed=seed),
}

# Group of lines → (what the sentence names, function of the odd value, odd values).
FAMILIES = {
    **{f"seed of {verb}": ("seed", call, NO_SEEDS) for verb, call in SEEDED.items()},
    "beta of simulate": ("beta", lambda beta: simulate(beta=beta)(), NO_BETAS),
    "beta of predict": ("beta", lambda beta: predict(beta=beta)(), NO_BETAS),
    "beta of extrapolate": ("beta", lambda beta: hl.extrapolate(post(), beta), {**NO_BETAS, "two": [0.5, 0.6]}),
    "beta of action": ("beta", lambda beta: hl.action(post(), data(), beta), {**NO_BETAS, "two": [0.5, 0.6], "none": 0}),
    "beta of approximate": ("beta", lambda beta: hl.approximate(ISING, beta), {**NO_BETAS, "two": [0.5, 0.6]}),
    "beta of estimate": ("beta", lambda beta: hl.estimate(network(), ISING, beta, 10), {**NO_BETAS, "none": 0}),
    "draws of simulate": ("draws", lambda draws: simulate(draws=draws)(), {**NOT_WHOLE, "zero": 0, "negative": -1}),
    "chains of simulate": ("chains", lambda chains: simulate(chains=chains)(), {**NOT_WHOLE, "zero": 0, "negative": -1}),
    "thin of simulate": ("thin", lambda thin: simulate(thin=thin, sampler="heat_bath")(), {**NOT_WHOLE, "zero": 0}),
    "burn_in of simulate": (
        "burn_in",
        lambda burn: simulate(burn_in=burn, sampler="heat_bath")(),
        {name: value for name, value in NOT_WHOLE.items() if name != "none"} | {"negative": -1},
    ),
    "draws of predict": ("draws", lambda members: predict(draws=members)(), {**NOT_WHOLE, "zero": 0, "negative": -1}),
    "draws": ("draws", lambda n: hl.draw_systems(post(), n), {**NOT_WHOLE, "zero": 0, "negative": -1}),
    "draws of energy": ("draws", lambda n: hl.energy(post(), data(), n), {**NOT_WHOLE, "zero": 0, "negative": -1}),
    "level of predict": ("level", lambda level: predict(level=level)(), {**NO_NUMBERS, "zero": 0, "one": 1, "two": 2, "percent": 90}),
    "shape of predict": (
        "shape|extents",
        lambda shape: predict(shape=shape)(),
        {
            "text": "x",
            "zero": 0,
            "negative": (-2, 2),
            "half": (1.5, 2),
            "empty": (),
            "NaN": (NAN, 2),
            "true": True,
            "nested": [[2, 2]],
            "huge": (10**9, 10**9),
        },
    ),
    "observables of predict": (
        "observable",
        lambda found: predict(observables=found)(),
        {"unknown": ["energie"], "text": "energy", "empty": [], "number": 3, "numbers": [3], "none inside": [None]},
    ),
    "fixed of predict": ("fixed", lambda fixed: predict(fixed=fixed)(), {"unknown": "volume", "none": None, "number": 3}),
    "fixed of extrapolate": ("fixed", lambda fixed: hl.extrapolate(post(), 0.7, fixed=fixed), {"unknown": "volume", "number": 3}),
    "n of sample": ("microstates", lambda n: hl.sample(network(), n), {**NOT_WHOLE, "zero": 0, "huge": 10**15}),
    "n of estimate": ("draws", lambda n: hl.estimate(network(), n=n), {**NOT_WHOLE, "zero": 0, "one": 1, "huge": 10**15}),
    "engine of learn": (
        "engine",
        lambda engine: learn(engine=engine)(),
        {
            "class": INFER.NUTS,
            "dictionary": {"name": "nuts"},
            "unknown": "nut",
            "none": None,
            "number": 3,
            "training": INFER.Training(),
            "bytes": b"nuts",
        },
    ),
    "likelihood of learn": (
        "likelihood",
        lambda found: learn(likelihood=found)(),
        {"number": 3, "unknown": "exakt", "none": None, "list": ["exact"]},
    ),
    "calibrate of learn": ("calibrate", lambda found: learn(calibrate=found)(), {"text": "no", "none": None, "number": 3}),
    "check of learn": ("check", lambda found: learn(check=found)(), {"text": "no", "none": None, "number": 3}),
    "model of learn": (
        "model",
        lambda found: learn(model=found)(),
        {
            "class": MODELS.Couplings,
            "none": None,
            "text": "couplings",
            "a system": ISING,
            "dictionary": {"kind": "couplings"},
            "a lattice": SQUARE,
            "a prior": MODELS.Normal(),
        },
    ),
    "data of learn": (
        "microstates|states|file",
        lambda found: learn(data=found)(),
        {
            "none": None,
            "array": STATES,
            "list of lists": STATES.tolist(),
            "empty": [],
            "number": 3,
            "text": "absent.nc",
            "dictionary": {},
            "a posterior": INFER,
            "a class": float,
            "list of none": [None],
            "tensor-like": np.float64(3),
            "path": FilePath("absent.zarr"),
        },
    ),
    "system of simulate": (
        "system",
        lambda found: simulate(system=found)(),
        {"class": SYSTEMS.Ising, "none": None, "text": "ising", "lattice": SQUARE, "model": MODELS.Couplings(), "number": 3},
    ),
    "system of approximate": (
        "system|model",
        lambda found: hl.approximate(found, 0.5),
        {"class": SYSTEMS.Ising, "none": None, "text": "ising"},
    ),
    "sampler of simulate": (
        "sampler",
        lambda found: simulate(sampler=found)(),
        {"unknown": "gibbs", "none": None, "number": 3, "hmc": "hmc", "kinks": "kinks", "class": float},
    ),
    "start of simulate": (
        "start",
        lambda found: simulate(start=found, sampler="heat_bath")(),
        {
            "unknown": "warm",
            "none": None,
            "shape": np.ones((3, 3)),
            "values": np.zeros((2, 2)),
            "NaN": np.full((2, 2), NAN),
            "ragged": [[1], [1, 1]],
            "words": [["a", "b"], ["c", "d"]],
        },
    ),
    "ladder of simulate": (
        "ladder|beta",
        lambda found: simulate(ladder=found, sampler="tempering")(),
        {"text": "x", "NaN": [NAN], "negative": [-1.0], "empty": []},
    ),
    "posterior of verdict": ("posterior", hl.verdict, {"none": None, "data": STATES, "text": "post.nc"}),
    "posterior of save": ("posterior|microstates", lambda found: hl.save(found, "x.nc"), {"none": None, "array": STATES, "text": "x"}),
    "path of load": ("file|path|posterior", hl.load, {"none": None, "array": STATES, "absent": "absent.nc", "number": 3, "no ending": "x"}),
    "path of save": (
        "path|file|write",
        lambda found: hl.save(post(), found),
        {"none": None, "number": 3, "no ending": "x", "unknown": "x.txt"},
    ),
    "path of report": (
        "path|folder|write",
        lambda found: hl.report(post(), found),
        {"none": None, "number": 3, "folder": "/tmp", "no ending": "x", "empty": ""},
    ),
    "title of report": ("title", lambda found: hl.report(post(), "x.html", title=found), {"number": 3, "bytes": b"x"}),
    "prediction of report": ("prediction", lambda found: hl.report(post(), "x.html", prediction=found), {"number": 3, "array": STATES}),
}

PER_SITE = {
    "none": None,
    "text": "x",
    "NaN": NAN,
    "infinite": INF,
    "complex": 1j,
    "true": True,
    "shape": np.ones(3),
    "ragged": [[1], [1, 2]],
    "one NaN": [1.0, NAN, 1, 1],
    "class": float,
    "dictionary": {},
}
EXTENTS = {
    "none": None,
    "text": "x",
    "NaN": NAN,
    "empty": (),
    "zero": (0, 2),
    "negative": (-2, 2),
    "half": (1.5, 2),
    "true": True,
    "nested": [[[2, 2]]],
    "huge": (10**6, 10**6),
    "beyond 64 bits": (10**30, 2),
    "class": tuple,
    "dictionary": {},
}
BONDS = {
    "text": "x",
    "empty": [],
    "out of range": [[0, 9]],
    "negative": [[-1, 0]],
    "loop": [[1, 1]],
    "twice": [[0, 1], [1, 0]],
    "halves": [[0.5, 1]],
    "NaN": [[NAN, 1]],
    "triples": [[0, 1, 2]],
    "flat": [0, 1],
    "ragged": [[0, 1], [2]],
    "words": [["a", "b"]],
    "truth": [[True, False]],
    "class": list,
    "dictionary": {},
    "huge": [[0, 10**18]],
}
NO_GRAPHS = {"out of range": [[0, -9]], "a system": ISING, "huge": [[0, 10**18]]}
POSITIVE = {**NO_NUMBERS, "zero": 0, "negative": -1}
COUNT = {**NOT_WHOLE, "zero": 0, "negative": -1}
IF_GIVEN = {name: value for name, value in COUNT.items() if name != "none"}
WORDS = {"unknown": "unknown", "none": None, "number": 3, "list": ["x"]}

FAMILIES |= {
    "Ising": ("extents|shape", SYSTEMS.Ising, EXTENTS),
    "XY": ("extents|shape|bonds", SYSTEMS.XY, EXTENTS),
    "EdwardsAnderson": ("extents|shape", SYSTEMS.EdwardsAnderson, EXTENTS),
    "Potts": ("extents|shape", lambda shape: SYSTEMS.Potts(shape, 3), EXTENTS),
    "Clock": ("extents|shape", lambda shape: SYSTEMS.Clock(shape, 3), EXTENTS),
    "ScalarField": ("extents|shape", lambda shape: SYSTEMS.ScalarField(shape, 1.0, 1.0), EXTENTS),
    "PolynomialField": ("extents|shape", lambda shape: SYSTEMS.PolynomialField(shape, [0, 1.0]), EXTENTS),
    "RangedField": ("extents|shape", lambda shape: SYSTEMS.RangedField(shape, (1.0,), (0, 1.0)), EXTENTS),
    "hypercubic": ("extents|shape", lattice.hypercubic, EXTENTS),
    "triangular": ("extents|shape", lattice.triangular, EXTENTS),
    "honeycomb": ("extents|shape", lattice.honeycomb, EXTENTS),
    "complete": ("sites", lattice.complete, {**COUNT, "one": 1, "huge": 10**8}),
    "SherringtonKirkpatrick": ("sites", SYSTEMS.SherringtonKirkpatrick, {**COUNT, "huge": 10**8}),
    "graph": ("bond", lambda bonds: lattice.graph(bonds, 4), BONDS),
    "sites of graph": ("sites", lambda n: lattice.graph([[0, 1]], n), {**IF_GIVEN, "huge": 10**18}),
    "bonds of Pairwise": ("bond", lambda bonds: SYSTEMS.Pairwise(bonds, n_sites=4), BONDS),
    "J of Pairwise": ("J", lambda J: SYSTEMS.Pairwise(SQUARE, J), PER_SITE),
    "h of Pairwise": ("h", lambda h: SYSTEMS.Pairwise(SQUARE, 1.0, h), PER_SITE),
    "J of Ising": ("J", lambda J: SYSTEMS.Ising((2, 2), J), PER_SITE),
    "J of XY": ("J", lambda J: SYSTEMS.XY((2, 2), J), PER_SITE),
    "J of QState": ("J", lambda J: SYSTEMS.QState(SQUARE, 3, J), PER_SITE),
    "h of QState": ("h", lambda h: SYSTEMS.QState(SQUARE, 3, 1.0, h), {**PER_SITE, "shape": np.ones(5)}),
    "q of QState": ("q", lambda q: SYSTEMS.QState(SQUARE, q), {**COUNT, "one": 1, "many": 1000}),
    "interaction of QState": ("interaction", lambda found: SYSTEMS.QState(SQUARE, 3, interaction=found), WORDS),
    "disorder": ("disorder", lambda found: SYSTEMS.EdwardsAnderson((2, 2), disorder=found), WORDS),
    "m2 of ScalarField": ("m2", lambda m2: SYSTEMS.ScalarField((2, 2), m2, 1.0), NO_NUMBERS),
    "lam of ScalarField": ("lam", lambda lam: SYSTEMS.ScalarField((2, 2), 1.0, lam), {**NO_NUMBERS, "negative": -1}),
    "kinetic of PolynomialField": ("kinetic", lambda k: SYSTEMS.PolynomialField((2, 2), [0, 1.0], k), NO_NUMBERS),
    "c of PolynomialField": (
        "coefficient|c ",
        lambda c: SYSTEMS.PolynomialField((2, 2), c),
        {
            "none": None,
            "text": "x",
            "NaN": [0, NAN],
            "empty": [],
            "odd": [1.0],
            "negative": [0, -1.0],
            "words": ["a"],
            "complex": [0, 1j],
            "nested": [[0, 1.0]],
            "number": 3,
        },
    ),
    "n_tau of Path": ("n_tau", lambda n: SYSTEMS.Path(n, SYSTEMS.Polynomial([0, 0.5])), {**COUNT, "one": 1, "huge": 10**15}),
    "potential of Path": (
        "potential",
        lambda V: SYSTEMS.Path(8, V),
        {"none": None, "text": "x", "number": 3, "sum": np.sum, "constant": lambda x: 1.0},
    ),
    "kinetic of Path": ("kinetic", lambda k: SYSTEMS.Path(8, SYSTEMS.Polynomial([0, 0.5]), k), POSITIVE),
    "a of Path": (
        "a must",
        lambda a: SYSTEMS.Path(8, SYSTEMS.Polynomial([0, 0.5]), a=a),
        {k: v for k, v in POSITIVE.items() if k != "none"},
    ),
    "lam of DoubleWell": ("lam", lambda lam: SYSTEMS.DoubleWell(lam, 1.0), POSITIVE),
    "mu of DoubleWell": ("mu", lambda mu: SYSTEMS.DoubleWell(1.0, mu), NO_NUMBERS),
    "c of Polynomial": (
        "coefficient|c ",
        SYSTEMS.Polynomial,
        {"none": None, "text": "x", "NaN": [0, NAN], "empty": [], "words": ["a"], "number": 3},
    ),
    "scale of Normal": ("scale", MODELS.Normal, POSITIVE),
    "unit of Normal": ("unit", lambda unit: MODELS.Normal(1.0, unit), WORDS),
    "scale of Laplace": ("scale", MODELS.Laplace, POSITIVE),
    "global_scale of Horseshoe": ("global_scale", MODELS.Horseshoe, POSITIVE),
    "slab of Horseshoe": ("slab", lambda slab: MODELS.Horseshoe(slab=slab), POSITIVE),
    "slab of SpikeSlab": ("slab", MODELS.SpikeSlab, POSITIVE),
    "inclusion of SpikeSlab": (
        "inclusion",
        lambda p: MODELS.SpikeSlab(inclusion=p),
        {k: v for k, v in POSITIVE.items() if k != "none"} | {"one": 1},
    ),
    "common of SpikeSlab": (
        "common",
        lambda p: MODELS.SpikeSlab(common=p),
        {"text": "x", "none": None, "NaN": NAN, "two": 2, "negative": -1},
    ),
    "graph of Couplings": (
        "bond|graph",
        MODELS.Couplings,
        {**BONDS, "words": [["a", "a"]], "out of range": [[0, -9]], "a system": ISING, "huge": [[0, 10**18]]},
    ),
    "tie of Couplings": ("tie", lambda tie: MODELS.Couplings(SQUARE, tie), WORDS),
    "fields of Couplings": ("fields", lambda found: MODELS.Couplings(SQUARE, fields=found), {"unknown": "x", "true": True, "number": 3}),
    "prior of Couplings": (
        "prior",
        lambda found: MODELS.Couplings(SQUARE, prior=found),
        {"unknown": "x", "number": 3, "class": MODELS.Normal},
    ),
    "field_prior of Couplings": (
        "field_prior",
        lambda found: MODELS.Couplings(SQUARE, field_prior=found),
        {"text": "normal", "class": MODELS.Normal, "zero": 0},
    ),
    "interaction of Couplings": ("interaction", lambda found: MODELS.Couplings(SQUARE, interaction=found), WORDS),
    "window of ClusterExpansion": ("window", MODELS.ClusterExpansion, {**COUNT, "list": [3, 0], "array": np.ones(2), "large": 100}),
    "order of ClusterExpansion": ("order", lambda order: MODELS.ClusterExpansion(order=order), IF_GIVEN),
    "slab of ClusterExpansion": ("slab", lambda slab: MODELS.ClusterExpansion(slab=slab), POSITIVE),
    "expected of ClusterExpansion": ("expected", lambda found: MODELS.ClusterExpansion(expected=found), POSITIVE),
    "prior of ClusterExpansion": ("prior", lambda found: MODELS.ClusterExpansion(prior=found), {"unknown": "x", "none": None, "number": 3}),
    "powers of PolynomialAction": (
        "powers",
        MODELS.PolynomialAction,
        {
            "none": None,
            "text": "x",
            "empty": (),
            "zero": (0,),
            "negative": (-2,),
            "odd": (3,),
            "half": (2.5,),
            "twice": (2, 2),
            "number": 3,
            "words": ("a",),
            "NaN": (NAN,),
            "true": (True,),
        },
    ),
    "kinetic of PolynomialAction": (
        "kinetic",
        lambda k: MODELS.PolynomialAction(kinetic=k),
        {"none": None, "text": "x", "NaN": NAN, "negative": -1.0},
    ),
    "range of PolynomialAction": ("range", lambda r: MODELS.PolynomialAction(range=r), COUNT),
    "a of PolynomialAction": ("a,", lambda a: MODELS.PolynomialAction(a=a), {k: v for k, v in POSITIVE.items() if k != "none"}),
    "prior of PolynomialAction": (
        "prior",
        lambda p: MODELS.PolynomialAction(prior=p),
        {"unknown": "x", "number": 3, "class": MODELS.Normal},
    ),
    "family of PolynomialAction": ("family", lambda f: MODELS.PolynomialAction(family=f), WORDS),
    "window of LocalInteraction": ("window", MODELS.LocalInteraction, {**COUNT, "list": [3, 0], "array": np.ones(2)}),
    "hidden of LocalInteraction": (
        "hidden",
        lambda h: MODELS.LocalInteraction(hidden=h),
        {"none": None, "text": "x", "zero": (0,), "half": (1.5,), "empty": ()},
    ),
    "members of LocalInteraction": ("members", lambda m: MODELS.LocalInteraction(members=m), COUNT),
    "decay of LocalInteraction": ("decay", lambda d: MODELS.LocalInteraction(decay=d), {k: v for k, v in POSITIVE.items() if k != "none"}),
    "activation of LocalInteraction": ("activation", lambda a: MODELS.LocalInteraction(activation=a), WORDS),
    "hidden of NetworkAction": (
        "hidden",
        lambda h: MODELS.NetworkAction(hidden=h),
        {"none": None, "text": "xy", "zero": (0, 2), "half": (1.5, 2), "one": (3,), "odd": (3, 3), "number": 8},
    ),
    "degree of NetworkAction": ("degree", lambda d: MODELS.NetworkAction(degree=d), {"none": None, "text": "x", "odd": 3, "true": True}),
    "even of NetworkAction": ("even", lambda e: MODELS.NetworkAction(even=e), {"none": None, "text": "x", "number": 1}),
    "decay of NetworkAction": ("decay", lambda d: MODELS.NetworkAction(decay=d), {k: v for k, v in POSITIVE.items() if k != "none"}),
    "focus of Extensive": ("focus", MODELS.Extensive, COUNT),
    "context of Extensive": ("context", lambda c: MODELS.Extensive(context=c), {**NOT_WHOLE, "negative": -1}),
    "hidden of Extensive": (
        "hidden",
        lambda h: MODELS.Extensive(hidden=h),
        {"none": None, "text": "x", "zero": (0,), "half": (1.5,), "empty": ()},
    ),
    "members of Extensive": ("members", lambda m: MODELS.Extensive(members=m), COUNT),
    "outputs of Extensive": ("outputs", lambda m: MODELS.Extensive(outputs=m), COUNT),
    "symmetry of Extensive": ("symmetry", lambda s: MODELS.Extensive(symmetry=s), {"unknown": "x", "number": 3, "none": None}),
    "members of DCL": ("members", lambda m: MODELS.DCL(members=m), COUNT),
    "draws of DCL": ("draws", lambda m: MODELS.DCL(draws=m), COUNT),
    "density of DCL": ("autoregressive", lambda m: MODELS.DCL(m), {"class": MODELS.Autoregressive, "text": "made", "number": 3}),
    "energy of DCL": ("extensive", lambda m: MODELS.DCL(extensive=m), {"class": MODELS.Extensive, "text": "x", "number": 3}),
    "network of Autoregressive": ("network", MODELS.Autoregressive, WORDS),
    "order of Autoregressive": ("order", lambda o: MODELS.Autoregressive(order=o), WORDS),
    "symmetry of Autoregressive": ("symmetry", lambda s: MODELS.Autoregressive(symmetry=s), {"unknown": "x", "number": 3, "none": None}),
    "hidden of Autoregressive": (
        "hidden",
        lambda h: MODELS.Autoregressive(hidden=h),
        {"text": "x", "zero": 0, "half": 1.5, "empty": (), "true": True},
    ),
    "members of Autoregressive": ("members", lambda m: MODELS.Autoregressive(members=m), COUNT),
    "components of Autoregressive": ("components", lambda m: MODELS.Autoregressive(components=m), COUNT),
    "charge of Autoregressive": ("charge", lambda m: MODELS.Autoregressive(charge=m), {"text": "x", "half": 1.5, "NaN": NAN, "true": True}),
    "condition of Autoregressive": ("condition", lambda m: MODELS.Autoregressive(condition=m), {"unknown": "x", "number": 3, "true": True}),
    "transform of Flow": ("transform", MODELS.Flow, WORDS),
    "layers of Flow": ("layers", lambda n: MODELS.Flow(layers=n), IF_GIVEN),
    "hidden of Flow": ("hidden", lambda h: MODELS.Flow(hidden=h), {"text": "x", "zero": 0, "half": 1.5, "empty": (), "true": True}),
    "bins of Flow": ("bins", lambda n: MODELS.Flow(bins=n), {**COUNT, "one": 1}),
    "bound of Flow": ("bound", lambda n: MODELS.Flow(bound=n), POSITIVE),
}

for _engine in (INFER.MLE, INFER.MAP, INFER.LaplaceApproximation, INFER.NUTS, INFER.Gibbs):
    for _name in ("draws", "chains"):
        FAMILIES[f"{_name} of {_engine.__name__}"] = (_name, lambda n, e=_engine, k=_name: e(**{k: n}), COUNT)
FAMILIES |= {
    "warmup of NUTS": ("warmup", lambda n: INFER.NUTS(warmup=n), {**COUNT, "zero": -3}),
    "target_accept of NUTS": ("target_accept", lambda n: INFER.NUTS(target_accept=n), {**POSITIVE, "one": 1, "two": 2}),
    "warmup of Gibbs": ("warmup", lambda n: INFER.Gibbs(warmup=n), {**COUNT, "zero": -3}),
    "thin of Gibbs": ("thin", lambda n: INFER.Gibbs(thin=n), COUNT),
    "checkpoint of Training": ("checkpoint", lambda p: INFER.Training(checkpoint=p), {"number": 3, "true": True, "bytes": b"x"}),
    "device of Training": ("device", lambda d: INFER.Training(device=d), WORDS),
    "precision of Training": ("precision", lambda d: INFER.Training(precision=d), WORDS),
    "augment of Training": ("augment", lambda d: INFER.Training(augment=d), {"unknown": "x", "number": 3, "none": None}),
    "heldout of Training": ("heldout", lambda d: INFER.Training(heldout=d), {**POSITIVE, "one": 1}),
    "weight_decay of Training": ("weight_decay", lambda d: INFER.Training(weight_decay=d), {**NO_NUMBERS, "negative": -1}),
    "learning_rate of Training": ("learning_rate", lambda d: INFER.Training(learning_rate=d), POSITIVE),
    "seconds of Training": ("seconds", lambda d: INFER.Training(seconds=d), {k: v for k, v in POSITIVE.items() if k != "none"}),
    "threads of Training": ("threads", lambda d: INFER.Training(threads=d), IF_GIVEN),
    "guide of Bayesian": ("guide", lambda d: INFER.Bayesian(guide=d), WORDS),
    "prior_scale of Bayesian": ("prior_scale", lambda d: INFER.Bayesian(prior_scale=d), {k: v for k, v in POSITIVE.items() if k != "none"}),
    "guide_rate of Bayesian": ("guide_rate", lambda d: INFER.Bayesian(guide_rate=d), {k: v for k, v in POSITIVE.items() if k != "none"}),
    "steps of Bayesian": ("steps", lambda d: INFER.Bayesian(steps=d), IF_GIVEN),
    "anneal of Variational": ("anneal", lambda d: INFER.Variational(anneal=d), {**NO_NUMBERS, "one": 1, "negative": -1}),
    "learning_rate of Variational": ("learning_rate", lambda d: INFER.Variational(learning_rate=d), POSITIVE),
    "device of Variational": ("device", lambda d: INFER.Variational(device=d), WORDS),
}
for _settings, _names in (
    (INFER.Training, ("epochs", "batch", "patience", "memory")),
    (INFER.Bayesian, ("draws", "rank", "epochs")),
    (INFER.Variational, ("steps", "batch")),
):
    for _name in _names:
        FAMILIES[f"{_name} of {_settings.__name__}"] = (_name, lambda n, s=_settings, k=_name: s(**{k: n}), COUNT)

CALLS = {
    f"{family}: {label}": (named, call, value) for family, (named, call, values) in FAMILIES.items() for label, value in values.items()
}
CALLS |= {
    "absurd number of draws": ("draws .* need .*iB of memory", lambda _: simulate(draws=10**12, sampler="heat_bath")(), None),
    "absurd number of exact draws": ("draws .* need .*iB of memory", lambda _: simulate(draws=10**12)(), None),
    "absurd number of chains": ("need .*iB of memory", lambda _: simulate(chains=10**12)(), None),
    "absurd draws of a posterior": (
        "draws .* need .*iB of memory",
        lambda _: learn(engine=INFER.LaplaceApproximation(draws=10**12))(),
        None,
    ),
    "absurd draws of NUTS": ("draws .* need .*iB of memory", lambda _: learn(engine=INFER.NUTS(draws=10**12))(), None),
    "absurd warmup of NUTS": ("need .*iB of memory|warmup", lambda _: learn(engine=INFER.NUTS(warmup=10**12))(), None),
    "absurd draws of Gibbs": (
        "draws .* need .*iB of memory",
        lambda _: learn(model=MODELS.Couplings(SQUARE, prior="spike_slab", fields=None), engine=INFER.Gibbs(draws=10**12))(),
        None,
    ),
    "absurd number of members": ("need .*iB of memory", lambda _: hl.draw_systems(post(), 10**13), None),
    "checkpoint of simulate": ("checkpoint", lambda _: simulate(checkpoint=3, sampler="heat_bath")(), None),
    "checkpoint of learn": ("checkpoint", lambda _: learn(checkpoint="")(), None),
    "couplings of Potts that are microstates": ("J of Potts", lambda _: SYSTEMS.Potts((2, 2), 3, J=data()), None),
    "graph that is microstates": ("bonds", lambda _: MODELS.Couplings(data()), None),
    "absurd exact sample": ("need .*iB of memory", lambda _: exact.sample(ISING, 0.5, 10**12, 0), None),
    "absurd number of temperatures": ("need .*iB of memory", lambda _: predict(beta=np.linspace(0.1, 1, 3_000_000), draws=64)(), None),
    "no posterior": ("posterior", lambda _: hl.extrapolate([], 0.5), None),
    "posteriors in a dictionary": ("posterior", lambda _: hl.extrapolate({"a": post()}, 0.5), None),
}


@pytest.mark.parametrize("family", dict.fromkeys(name.partition(":")[0] for name in CALLS))
def test_a_mistake_is_a_sentence_that_names_it(family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {}
    for name, (named, call, value) in CALLS.items():
        if name.partition(":")[0] != family:
            continue
        try:
            found = call(value)
        except HamlearnError as error:
            if not re.search(named, str(error)) or len(str(error)) > 1000:
                wrong[name] = str(error)
        except Exception as error:
            wrong[name] = repr(error)
        else:
            wrong[name] = f"taken: {found!r:.80}"
    assert not wrong
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [name for name in SEEDED if name not in ("log_prob_band", "distill", "locality")])
def test_every_seed_that_a_file_keeps_is_taken(verb):
    SEEDED[verb](np.int64(2**31))
    SEEDED[verb](2**63 - 1)
