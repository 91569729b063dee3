"""Takes steps of PyTorch's dense nets on request, answering as
tools/step_times.cpp does: MLP or LSTM language model with conventional
dropout, cuDNN's LSTM, float32 without TF32."""

import argparse
import resource
import sys
import time

import torch
from torch import nn


class Perceptron(nn.Module):
    """784 - hidden ... - 10."""

    def __init__(self, hidden, rate):
        super().__init__()
        layers, inputs = [], 784
        for units in hidden:
            layers += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(rate)]
            inputs = units
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 10))

    def linear_layers(self):
        return [each for each in self.layers if isinstance(each, nn.Linear)]

    def forward(self, x):
        return self.layers(x)


class LanguageModel(nn.Module):
    """Embedding, LSTM layers and softmax, dropout between all of them."""

    def __init__(self, hidden, rate, vocabulary, init):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, hidden[0])
        self.dropout = nn.Dropout(rate)
        self.lstm = nn.LSTM(hidden[0], hidden[0], len(hidden), dropout=rate)
        self.output = nn.Linear(hidden[0], vocabulary)
        self.state = None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init, init)

    def forward(self, tokens):
        h, state = self.lstm(self.dropout(self.embed(tokens)), self.state)
        self.state = [each.detach() for each in state]
        return self.output(self.dropout(h)).flatten(0, 1)


NETS = {"mnist": Perceptron, "ptb": LanguageModel}


def make(options, nets):
    """(net, its input, what it is to put out)."""
    torch.manual_seed(1)
    kind = nets[options.workload]
    if options.workload == "mnist":
        net = kind(options.hidden, options.rate)
        x = torch.randint(2, (options.batch_size, 784)).float()
        target = torch.randint(10, (options.batch_size,))
    else:
        net = kind(options.hidden, options.rate, options.vocabulary,
                   options.init)
        shape = options.sequence_length, options.batch_size
        x = torch.randint(options.vocabulary, shape)
        target = torch.randint(options.vocabulary, shape).flatten()
    return [each.to(options.device) for each in (net, x, target)]


class Trainer:
    """A net with its solver."""

    def __init__(self, options, nets):
        self.net, self.x, self.target = make(options, nets)
        self.clip = options.clip_gradients
        self.loss_weight = options.sequence_length or 1
        self.solver = torch.optim.SGD(
            self.net.parameters(), options.base_lr, options.momentum)
        self.cuda = options.device == "cuda"

    def finish(self):
        if self.cuda:
            torch.cuda.synchronize()

    def step(self, count):
        """Takes steps; the last one's loss, still on the device."""
        for _ in range(count):
            self.solver.zero_grad()
            loss = nn.functional.cross_entropy(self.net(self.x), self.target)
            (loss * self.loss_weight).backward()
            if self.clip:
                nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
            self.solver.step()
        return loss


def main(nets=NETS):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=nets)
    parser.add_argument(
        "--hidden", type=lambda x: [int(n) for n in x.strip("()[]").split(",")
                                    if n.strip()])
    for name in ("batch_size", "sequence_length", "vocabulary"):
        parser.add_argument("--" + name, type=int)
    for name in ("rate", "init", "base_lr", "momentum", "clip_gradients"):
        parser.add_argument("--" + name, type=float)
    parser.add_argument("--device", default="cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    trainer = Trainer(parser.parse_args(), nets)
    for line in sys.stdin:
        trainer.finish()
        wall, processor = time.perf_counter(), time.process_time()
        loss = trainer.step(int(line))
        trainer.finish()
        wall = time.perf_counter() - wall
        processor = time.process_time() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print("seconds", wall, processor, peak, loss.item(), flush=True)


if __name__ == "__main__":
    main()
