"""Nobody says which interactions exist: 400 candidate terms, one temperature, one size; predictions at others."""

import numpy as np

import hamlearn as hl

critical = np.log(1 + np.sqrt(2)) / 2
data = hl.simulate(hl.systems.Ising((8, 8)), beta=critical, draws=6250, chains=16, seed=0)  # all that is known of the world
post = hl.learn(data, hl.models.ClusterExpansion(window=3), seed=0)  # which multi-spin terms inside 3×3 windows exist, and how strong
print(hl.verdict(post))

curve = hl.predict(post, critical, shape=(16, 16), observables=["energy", "entropy", "free_energy"], draws=32)
exact = hl.systems.exact.thermodynamics(hl.systems.Ising((16, 16)), critical)
for name in curve.data_vars:
    if "quantity" in curve[name].dims:
        mean, low, high = curve[name].sel(quantity=["mean", "lower", "upper"]).values[0]
        print(f"{name} per site on 16×16: {mean:.4f} [{low:.4f}, {high:.4f}], exact {exact[name].item():.4f}")
