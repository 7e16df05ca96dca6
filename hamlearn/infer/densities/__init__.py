"""Verbs of normalised densities: probabilities, draws, estimates, corrections, training on a known action."""
