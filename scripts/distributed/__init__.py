"""Trainings of several ranks, timed on hosts of one machine, and modelled."""
