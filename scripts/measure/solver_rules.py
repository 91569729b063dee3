"""One step of each of Caffe's solvers, in numpy, as its documents define them.

A rule takes the rate, the gradient g, the parameter's histories, which it
changes, and the number of the step from 0 on; it returns what is subtracted
from the weights. It is made of the solver's momentum.
"""

import numpy as np

DELTA = 1e-8
RMS_DECAY, MOMENTUM2 = 0.99, 0.999


def averaged(history, share, value):
    """The history becomes its moving average with the value."""
    history *= share
    history += (1 - share) * value
    return history


def sgd(momentum, rate, g, h, number):
    h[0] *= momentum
    h[0] += rate * g
    return h[0].copy()


def nesterov(momentum, rate, g, h, number):
    before = h[0].copy()
    return (1 + momentum) * sgd(momentum, rate, g, h, number) - (
        momentum * before
    )


def adagrad(momentum, rate, g, h, number):
    h[0] += g**2
    return rate * g / (np.sqrt(h[0]) + DELTA)


def rmsprop(momentum, rate, g, h, number):
    squares = averaged(h[0], RMS_DECAY, g**2)
    return rate * g / (np.sqrt(squares) + DELTA)


def adadelta(momentum, rate, g, h, number):
    squares = averaged(h[0], momentum, g**2)
    change = g * np.sqrt((h[1] + DELTA) / (squares + DELTA))
    averaged(h[1], momentum, change**2)
    return rate * change


def adam(momentum, rate, g, h, number):
    mean = averaged(h[0], momentum, g)
    squares = averaged(h[1], MOMENTUM2, g**2)
    rate *= np.sqrt(1 - MOMENTUM2 ** (number + 1))
    rate /= 1 - momentum ** (number + 1)
    return rate * mean / (np.sqrt(squares) + DELTA)


RULES = {
    "SGD": sgd,
    "Nesterov": nesterov,
    "AdaGrad": adagrad,
    "RMSProp": rmsprop,
    "AdaDelta": adadelta,
    "Adam": adam,
}
