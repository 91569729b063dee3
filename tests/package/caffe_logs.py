"""Logs as Caffe writes them, for the tests of what reads them."""

SETTINGS = """\
Initializing solver from parameters:\x20
test_iter: 10
test_interval: 100
base_lr: 0.1
display: 50
max_iter: 400
lr_policy: "step"
net_param {
  layer {
    name: "max_iter: 7"
    top: "Iteration 9, loss = 1"
  }
}
snapshot_prefix: "x"
"""
MESSAGES = (
    "Starting Optimization",
    "Solving net",
    "Iteration 0, Testing net (#0)",
    "    Test net output #0: accuracy = 0.1",
    "    Test net output #1: loss = 2.5 (* 1 = 2.5 loss)",
    "Iteration 0 (0 iter/s, 0.5s/50 iters), loss = 2.5",
    "    Train net output #0: loss = 2.4 (* 1 = 2.4 loss)",
    "Iteration 0, lr = 0.1",
    "Iteration 50 (10 iter/s, 5s/50 iters), loss = 1.5",
    "    Train net output #0: loss = 1.4 (* 1 = 1.4 loss)",
    "Iteration 50, lr = 0.1",
    "Iteration 100, Testing net (#0)",
    "    Test net output #0: accuracy = 0.75",
    "    Test net output #1: loss = 0.5 (* 1 = 0.5 loss)",
    "Iteration 100 (8 iter/s, 6.25s/50 iters), loss = 1",
    "    Train net output #0: loss = 0.9 (* 1 = 0.9 loss)",
    "Iteration 100, lr = 0.01",
)
ROWS = [
    {
        "iteration": 0,
        "seconds": 5.0,
        "learning_rate": 0.1,
        "loss": 2.5,
        "train loss": 2.4,
        "test accuracy": 0.1,
        "test loss": 2.5,
    },
    {
        "iteration": 50,
        "seconds": 8.0,
        "learning_rate": 0.1,
        "loss": 1.5,
        "train loss": 1.4,
    },
    {
        "iteration": 100,
        "seconds": 14.0,
        "learning_rate": 0.01,
        "loss": 1.0,
        "train loss": 0.9,
        "test accuracy": 0.75,
        "test loss": 0.5,
    },
]


def written(messages, prefix="I20261129 {} 4242 solver.cpp:239] ", start=36000):
    """A log with a second between two lines."""
    lines = []
    for second, message in enumerate(messages, start):
        minute, second = divmod(second, 60)
        clock = f"{minute // 60:02}:{minute % 60:02}:{second:02}.000000"
        lines.append(prefix.format(clock) + message + "\n")
    return "".join(lines)


LOG = written([SETTINGS.rstrip("\n"), *MESSAGES])
DONE = written(["Optimization Done."], start=36100)
