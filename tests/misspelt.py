"""Calls with a word misspelt, each of which a type checker finds: mypy reads this file with the package, nothing runs it.

An ignored error that does not occur is an error (``warn_unused_ignores``), so a word that is accepted as any text fails the type check.
"""

import hamlearn as hl


def wrong() -> None:
    """One fault a line."""
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, sampler="wolf")  # type: ignore[arg-type]
    hl.learn(data, hl.models.Couplings(None), engine="nutz")  # type: ignore[arg-type]
    hl.learn(data, hl.models.Couplings(None), likelihood="pseud")  # type: ignore[arg-type]
    hl.learn(data, hl.models.Couplings(None), calibrate="no")  # type: ignore[arg-type]
    hl.learn(data, "couplings")  # type: ignore[arg-type]
    hl.models.Couplings(None, tie="bonds")  # type: ignore[arg-type]
    hl.models.Couplings(None, prior="spike")  # type: ignore[arg-type]
    hl.microstates([[1, -1]], space="spin")  # type: ignore[arg-type]
    hl.extrapolate([], beta=1.0, fixed="site")  # type: ignore[arg-type]
    hl.infer.program(data, hl.models.Couplings(None), "exactly")  # type: ignore[arg-type]


def sound() -> None:
    """Names, settings and objects that are taken."""
    data = hl.simulate(hl.systems.Ising((3, 3)), beta=0.3, sampler=hl.systems.HeatBath())
    hl.learn(data, hl.models.Couplings(None), likelihood="pseudo", engine=hl.infer.NUTS(draws=10))
    hl.learn(data, hl.models.Couplings([[0, 1]], tie="uniform", prior=hl.models.Normal(2.0)), "exact", "laplace", calibrate=False)
    hl.learn(data, hl.models.Autoregressive(), engine=hl.infer.Training(epochs=2))
