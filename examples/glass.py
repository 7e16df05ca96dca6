"""The README's example: a glass nobody knows, learned at one temperature and predicted at others."""

import numpy as np

import hamlearn as hl

glass = hl.systems.EdwardsAnderson((8, 8), seed=1)  # a system: 128 random couplings
data = hl.simulate(glass, beta=0.5, draws=500, chains=16, seed=0)  # its microstates
post = hl.learn(data, hl.models.Couplings(glass.lattice, fields=None), seed=0)  # a posterior over the couplings
print(hl.verdict(post))

J = post["posterior"]["J"].stack(sample=("chain", "draw"))
low, high = J.quantile([0.05, 0.95], "sample")
print(f"true couplings inside their 90 % interval: {float(((low < glass.J) & (glass.J < high)).mean()):.0%}")

curves = hl.predict(post, beta=np.linspace(0.1, 1.0, 10))  # thermodynamics elsewhere, with bands
print(curves["heat_capacity"].sel(beta=0.9, method="nearest").to_series().round(2).to_string())
hl.report(post, "report.html", prediction=curves)  # one self-contained page, verdict first
