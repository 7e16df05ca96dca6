"""Where a transition is: ratios of sizes, their crossings, and finite-size scaling with its uncertainty."""
