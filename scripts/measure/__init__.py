"""Training steps timed and checked against a dense oracle, gradients' noise."""
