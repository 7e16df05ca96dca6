"""What runs inference: NumPyro, the Gibbs sampler of sparse posteriors, and draws from normals."""
