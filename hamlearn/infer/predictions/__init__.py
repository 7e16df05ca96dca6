"""Predictions where nothing was observed: other temperatures, other sizes, with bands."""
