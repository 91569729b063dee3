"""Random nets for the converter: random_net(seed).

Any layers, one after another, each reading a blob that is there; with rules,
in place or not, branching, with weights shared by name. What nobody reads at
the end goes into a EuclideanLoss, so that there are gradients.

Three things are left out, since they are wrong in stock Caffe: a blob that
others read is not written in place (Caffe refuses it), nor is one that its
writer's gradient needs, and there is no Flatten behind a Reshape (Caffe
computes wrong gradients of both without a word).
"""

import random

from approx_dropout.proto import load_caffe_pb2

SAMPLES, STEPS = 4, 3
STAGE = "extra"
NEEDS_ITS_TOP = ("ELU", "LSTM", "Sigmoid", "Softmax", "TanH")


class Blob:
    """A write of a blob: name, shape, type of its writer, number of reads.

    reshaped: a Reshape made it, and layers in place at most came after.
    """

    def __init__(self, name, shape, writer, reshaped=False):
        self.name, self.shape, self.writer = name, tuple(shape), writer
        self.reshaped = reshaped
        self.reads = 0


class RandomNet:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pb2 = load_caffe_pb2()
        self.net = self.pb2.NetParameter()
        self.blobs = []
        self.weights = {}  # (inputs, outputs, bias) -> name of the parameters
        self.steps = [
            self.activation,
            self.chain,
            self.chain,
            self.chain,
            self.concat,
            self.dropout,
            self.dropout,
            self.eltwise,
            self.image,
            self.inner_product,
            self.inner_product,
            self.lstm,
            self.normalise,
            self.reshape,
            self.slice,
        ]

    def make(self):
        draw = self.random
        kind = draw.choice(("features", "features", "image", "sequence"))
        if kind == "features":
            self.input("x", (SAMPLES, draw.randint(4, 12)))
        elif kind == "image":
            self.input(
                "x", (SAMPLES, draw.randint(1, 6), 5, draw.choice((4, 5)))
            )
        else:
            self.input("x", (STEPS, SAMPLES, draw.randint(4, 10)))
            self.input("cont", (STEPS, SAMPLES))
            self.blobs.pop()
        while len(self.net.layer) < 6 or draw.random() < 0.7:
            draw.choice(self.steps)()
        for blob in [b for b in self.blobs if not b.reads]:
            target = f"target_{blob.name}"
            self.input(target, blob.shape)
            self.layer(
                "EuclideanLoss", [blob.name, target], f"loss_{blob.name}"
            )
        return self.net

    def layer(self, kind, bottoms, *tops, name=None):
        name = name or f"{kind.lower()}{len(self.net.layer)}"
        return self.net.layer.add(
            name=name, type=kind, bottom=bottoms, top=tops or [name]
        )

    def input(self, name, shape):
        layer = self.layer("Input", [], name, name=name)
        layer.input_param.shape.add(dim=shape)
        self.blobs.append(Blob(name, shape, "Input"))

    def pick(self, legal=lambda blob: True):
        """A blob to read, a late one more likely; None if there is none."""
        found = [b for b in self.blobs if legal(b)]
        if not found:
            return None
        last = self.random.random() < 0.8
        return found[-1] if last else self.random.choice(found)

    def unary(self, kind, blob, shape=None, in_place=False):
        """A layer that reads one blob and writes one, perhaps in place."""
        free = not blob.reads and blob.writer not in NEEDS_ITS_TOP + ("Input",)
        draw = self.random.random()
        if in_place and free and draw < 0.6:
            layer = self.layer(kind, [blob.name], blob.name)
            self.blobs.remove(blob)
        else:
            layer = self.layer(kind, [blob.name])
            blob.reads += 1
        reshaped = kind == "Reshape" or (blob.reshaped and blob.reads == 0)
        self.blobs.append(
            Blob(layer.top[0], shape or blob.shape, kind, reshaped)
        )
        return layer

    def rules(self, layer, *choices):
        for kind, rule in choices:
            getattr(layer, kind).add(**rule)

    def activation(self):
        kind = self.random.choice(
            ("ReLU", "ReLU", "ReLU", "PReLU", "Sigmoid", "TanH", "ELU")
        )
        blob = self.pick(lambda b: len(b.shape) > 1)
        layer = self.unary(kind, blob, in_place=kind == "ReLU")
        if kind == "ReLU" and self.random.random() < 0.2:
            layer.relu_param.negative_slope = 0.1
        in_place = layer.bottom[0] == layer.top[0]
        if in_place and self.random.random() < 0.1:
            rule = self.random.choice(({"phase": 0}, {"stage": [STAGE]}))
            self.rules(layer, ("include", rule))

    def dropout(self):
        """With rules of its own it must work in place, or its top is missing
        without it."""
        layer = self.unary("Dropout", self.pick(), in_place=True)
        layer.dropout_param.dropout_ratio = self.random.choice((0.3, 0.5, 0.7))
        if layer.bottom[0] == layer.top[0] and self.random.random() < 0.4:
            self.rules(
                layer,
                self.random.choice(
                    (
                        ("include", {"phase": 0}),
                        ("exclude", {"phase": 1}),
                        ("include", {"stage": [STAGE]}),
                        ("include", {"phase": 0, "not_stage": [STAGE]}),
                        ("exclude", {"min_level": 1}),
                    )
                ),
            )

    def inner_product(self):
        blob = self.pick()
        axes = len(blob.shape)
        axis = self.random.choice((1, 1, -1, axes - 1)) if axes < 4 else 1
        head = blob.shape[: axis % axes]
        inputs = 1
        for size in blob.shape[axis % axes :]:
            inputs *= size
        outputs = self.random.randint(4, 16)
        shared = [key for key in self.weights if key[0] == inputs]
        share = shared and self.random.random() < 0.4
        bias = self.random.random() < 0.8
        if share:
            inputs, outputs, bias = self.random.choice(shared)
        layer = self.unary("InnerProduct", blob, head + (outputs,))
        layer.inner_product_param.num_output = outputs
        if axis != 1:
            layer.inner_product_param.axis = axis
        layer.inner_product_param.bias_term = bias
        if share or self.random.random() < 0.3:
            key = (inputs, outputs, bias)
            name = self.weights.setdefault(key, layer.name)
            for i in range(1 + bias):
                layer.param.add(name=f"{name}_{i}")
        elif self.random.random() < 0.1:
            layer.inner_product_param.transpose = True
        if self.random.random() < 0.08:
            self.replace_in_stage(layer)

    def chain(self):
        """What nets are mostly made of: a product, perhaps an activation, a
        Dropout, a product, and all the other steps' freedom."""
        self.random.choice((self.inner_product, self.lstm, self.image))()
        if self.random.random() < 0.7:
            self.activation()
        self.dropout()
        self.random.choice(
            (self.inner_product, self.inner_product, self.lstm)
        )()

    def replace_in_stage(self, layer):
        """Another layer writes the same blob if the stage is on."""
        other = self.net.layer.add()
        other.CopyFrom(layer)
        other.name += "_extra"
        layer.exclude.add(stage=[STAGE])
        other.include.add(stage=[STAGE])

    def lstm(self):
        blob = self.pick(
            lambda b: len(b.shape) == 3 and b.shape[:2] == (STEPS, SAMPLES)
        )
        if blob is None or not any(x.name == "cont" for x in self.net.layer):
            return
        outputs = self.random.randint(4, 8)
        layer = self.unary("LSTM", blob, blob.shape[:2] + (outputs,))
        layer.bottom.append("cont")
        layer.recurrent_param.num_output = outputs
        for filler in ("weight_filler", "bias_filler"):
            getattr(layer.recurrent_param, filler).type = "constant"

    def image(self):
        blob = self.pick(lambda b: len(b.shape) == 4 and min(b.shape[2:]) > 1)
        if blob is None:
            return
        kind = self.random.choice(("Convolution", "Pooling"))
        sides = tuple(size - 1 for size in blob.shape[2:])
        channels = blob.shape[1]
        whole = kind == "Pooling" and self.random.random() < 0.4
        if kind == "Convolution":
            channels = self.random.randint(2, 6)
        shape = (blob.shape[0], channels) + ((1, 1) if whole else sides)
        layer = self.unary(kind, blob, shape)
        if kind == "Convolution":
            layer.convolution_param.num_output = channels
            layer.convolution_param.kernel_size.append(2)
        elif whole:
            layer.pooling_param.global_pooling = True
        else:
            layer.pooling_param.kernel_size = 2
            layer.pooling_param.pool = self.random.randint(0, 1)

    def normalise(self):
        blob = self.pick(lambda b: len(b.shape) > 1)
        layer = self.unary(self.random.choice(("BatchNorm", "Scale")), blob)
        # Of so few samples, some gradients would be nothing but rounding.
        layer.batch_norm_param.eps = 0.1
        if layer.type == "Scale":
            layer.ClearField("batch_norm_param")
            layer.scale_param.bias_term = self.random.random() < 0.5

    def two(self, alike):
        one = self.pick()
        other = self.pick(lambda b: b is not one and alike(one, b))
        return None if other is None else (one, other)

    def eltwise(self):
        found = self.two(lambda a, b: a.shape == b.shape)
        if found is not None:
            layer = self.layer("Eltwise", [b.name for b in found])
            layer.eltwise_param.operation = self.random.choice((0, 1))
            self.join(layer, found, found[0].shape)

    def concat(self):
        found = self.two(
            lambda a, b: (
                len(a.shape) == len(b.shape) > 1
                and a.shape[:1] + a.shape[2:] == b.shape[:1] + b.shape[2:]
            )
        )
        if found is not None:
            shape = list(found[0].shape)
            shape[1] += found[1].shape[1]
            layer = self.layer("Concat", [b.name for b in found])
            self.join(layer, found, shape)

    def join(self, layer, blobs, shape):
        for blob in blobs:
            blob.reads += 1
        self.blobs.append(Blob(layer.top[0], shape, layer.type))

    def slice(self):
        blob = self.pick(lambda b: len(b.shape) > 1 and b.shape[1] >= 8)
        if blob is None or len(blob.shape) == 3:
            return
        at = self.random.randint(4, blob.shape[1] - 4)
        name = f"slice{len(self.net.layer)}"
        layer = self.layer("Slice", [blob.name], f"{name}a", f"{name}b")
        layer.slice_param.slice_point.append(at)
        blob.reads += 1
        for top, size in zip(layer.top, (at, blob.shape[1] - at)):
            shape = (blob.shape[0], size) + blob.shape[2:]
            self.blobs.append(Blob(top, shape, "Slice"))

    def reshape(self):
        blob = self.pick(lambda b: len(b.shape) in (2, 4))
        if blob is None:
            return
        total = 1
        for size in blob.shape[1:]:
            total *= size
        if len(blob.shape) == 4 or total % 2 or self.random.random() < 0.5:
            if not blob.reshaped:
                self.unary("Flatten", blob, (blob.shape[0], total))
            return
        shape = self.random.choice(((2, total // 2), (total // 2, 2, 1)))
        layer = self.unary("Reshape", blob, blob.shape[:1] + shape)
        layer.reshape_param.shape.dim.extend((0,) + shape[:-1] + (-1,))


def random_net(seed):
    """A random net, always the same for a seed."""
    return RandomNet(seed).make()
