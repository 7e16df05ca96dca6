"""Paths of a particle in a double well, seen at two temperatures; their action at a third, colder one."""

import hamlearn as hl

world = hl.systems.Path(64, hl.systems.DoubleWell(4.0, 2.8))  # V = (λ/4)(x² − μ²/λ)²: minima at ±1.4
posts = []
for beta in (20.0, 40.0):
    paths = hl.simulate(world, beta=beta, draws=2500, chains=4, seed=int(beta))
    posts.append(hl.learn(paths, hl.models.PolynomialAction(powers=(2, 4))))

cold = hl.extrapolate(posts, beta=80.0)  # a posterior over actions where nothing was observed
print(hl.verdict(cold))
c = cold["posterior"]["c"].stack(sample=("chain", "draw"))
print(c.quantile([0.05, 0.95], "sample").round(3).to_pandas().to_string(), "\ntrue: -3.92 and 1")

held_out = hl.simulate(world, beta=80.0, draws=1000, chains=4, seed=2)
action = hl.action(cold, held_out["state"].values, 80.0).mean("member")
truth = world.action(held_out["state"].values, 80.0)
error = action.values - truth
print(f"R² of the action on paths at beta = 80: {1 - error.var() / truth.var():.5f}")
