"""Takes steps of PyTorch's nets that drop rows, as any user could write them:
in each pass the kept units' rows and columns of the weights are picked by
index_select, and the products are of those; the update is a dense one. Options
and answers are torch_steps.py's."""

import torch
from torch.nn import functional

from measure import torch_steps


def kept_units(units, rate):
    """Indices of the units that a pass keeps, ascending."""
    kept = round((1 - rate) * units)
    return torch.randperm(units)[:kept].sort().values


class Perceptron(torch_steps.Perceptron):
    """Drops units of each hidden layer, the same for all samples."""

    def __init__(self, hidden, rate):
        super().__init__(hidden, rate)
        self.rate = rate

    def forward(self, x):
        *hidden, last = self.linear_layers()
        columns = None
        for layer in hidden:
            rows = kept_units(layer.out_features, self.rate)
            weight = layer.weight.index_select(0, rows)
            if columns is not None:
                weight = weight.index_select(1, columns)
            x = functional.linear(x, weight, layer.bias.index_select(0, rows))
            x = functional.relu(x) / (1 - self.rate)
            columns = rows
        weight = last.weight.index_select(1, columns)
        return functional.linear(x, weight, last.bias)


class LanguageModel(torch_steps.LanguageModel):
    """Drops units between the layers, for all samples and steps alike."""

    def __init__(self, hidden, rate, vocabulary, init):
        super().__init__(hidden, rate, vocabulary, init)
        self.rate = rate

    def keep(self, h):
        """(the kept units' values, which units those are)"""
        kept = kept_units(h.shape[-1], self.rate)
        return h.index_select(-1, kept) / (1 - self.rate), kept

    def forward(self, tokens):
        h = self.embed(tokens)
        if self.state is None:
            zeros = h.new_zeros(1, *h.shape[1:])
            self.state = [(zeros, zeros)] * self.lstm.num_layers
        states = []
        for weights, state in zip(self.lstm.all_weights, self.state):
            x, kept = self.keep(h)
            picked = [weights[0].index_select(1, kept), *weights[1:]]
            # What nn.LSTM calls, which insists on weights of its own size.
            h, *state = torch._VF.lstm(
                x, state, picked, True, 1, 0.0, True, False, False
            )
            states.append([each.detach() for each in state])
        self.state = states
        x, kept = self.keep(h)
        weight = self.output.weight.index_select(1, kept)
        return functional.linear(x, weight, self.output.bias).flatten(0, 1)


if __name__ == "__main__":
    torch_steps.main({"mnist": Perceptron, "ptb": LanguageModel})
