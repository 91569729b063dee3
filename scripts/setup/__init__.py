"""Packages, Caffe's sources, the patches, the build and the image."""
