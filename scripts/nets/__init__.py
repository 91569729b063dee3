"""Experiments, their registry, and the nets and solvers made from them."""
