"""What makes the bundle for GPU machines, and what travels in it."""
