"""Trainings with the tool `caffe`: the run, its log and what it dropped."""
