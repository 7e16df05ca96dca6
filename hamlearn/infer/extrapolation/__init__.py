"""Actions at temperatures nobody observed, and how far to trust them."""
