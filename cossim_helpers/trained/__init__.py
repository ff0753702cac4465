"""Models that training determines: what they are, and their training with JAX."""
