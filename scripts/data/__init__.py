"""MNIST, Penn Treebank and CIFAR-10: got, checked, written as Caffe reads them.
"""
