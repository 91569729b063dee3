"""MNIST and Penn Treebank: got, checked and written as Caffe reads them."""
