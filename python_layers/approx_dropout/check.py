"""Holds a net with patterns against the same net with Dropouts, in Caffe.

Both get the same random weights and inputs. TEST: what they put out must be
the same. TRAIN: the patterns that the one draws are given to a dense net, the
other one with its Dropouts set to these patterns (oracle.py); the two must put
out the same, too. All this in each state that the nets have.
"""

import collections
import multiprocessing
import os
import tempfile
import typing

import numpy as np

from .chains import own_pattern
from .edits import Layers
from .graph import TEST
from .proto import load_caffe_pb2, net_bytes
from .shapes import base_type
from .upgrade import upgrade

TOLERANCE = 1e-3  # of the largest value compared
PASSES = 3  # draws compared in TRAIN
# All else being about 1, values as small as this may be nothing but rounding.
_ROUNDING = 1e-4


class Compared(typing.NamedTuple):
    """One comparison: in which state, of what, and the largest difference as a
    part of the largest value."""

    where: str
    what: str
    difference: float

    def __str__(self):
        return (
            f"{self.where}: {self.what}: largest difference "
            f"{self.difference:.2g} of the largest value"
        )


def check(ours, stock, dropped, shapes=None):
    """compare() in a process of its own: a list of Compared.

    Raises ValueError if Caffe refuses a net; its own message is on standard
    error then.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    nets = ours.SerializeToString(), stock.SerializeToString()
    process = context.Process(
        target=_send_compared, args=(there, *nets, dropped, shapes)
    )
    process.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        found = ValueError("Caffe refuses a net, see the message above")
    process.join()
    if isinstance(found, Exception):
        raise found
    return found


def _send_compared(pipe, ours, stock, dropped, shapes):
    os.environ.setdefault("GLOG_minloglevel", "2")  # before Caffe is loaded
    parse = load_caffe_pb2().NetParameter.FromString
    try:
        pipe.send(compare(parse(ours), parse(stock), dropped, shapes))
    except (ValueError, RuntimeError) as error:
        pipe.send(ValueError(str(error)))


def compare(ours, stock, dropped, shapes=None, gradients=False, seed=1):
    """A list of Compared; everything in this process, which Caffe ends if it
    refuses a net.

    ours: the net with patterns. stock: the one with Dropouts. dropped: a
    Dropped for each Dropout of stock that is a pattern in ours. shapes: of
    blobs that data layers put out, where the prototxt does not tell.
    gradients: those of the weights are compared, too; stock needs a loss. seed:
    of inputs, weights and draws.
    """
    import caffe

    from .stand_in import samples_for, with_inputs

    caffe.set_random_seed(seed)
    samples = samples_for(ours)
    shapes = shapes or {}
    ours = with_inputs(upgrade(ours), shapes, samples)
    stock = with_inputs(upgrade(stock), shapes, samples)
    _name_apart(ours, stock)
    graph = Layers(stock).graph()
    if not graph.whole:
        raise ValueError("the net is not whole: a blob is read and not written")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for state in _telling(graph.states):
            comparison = _Comparison(ours, stock, dropped, state, folder, seed)
            if state.phase == TEST:
                found += comparison.test()
            elif not drops_recurrent(ours):
                found += comparison.train(gradients)
    if not found:
        raise ValueError(
            "there is nothing to compare: the net puts out nothing"
        )
    return found


def _name_apart(*nets):
    """Gives layers that share a name, or have none, one of their own, which is
    the same in all nets: pycaffe knows layers by their names. The n-th layer of
    a name and type in one net is the n-th in the others, Dropouts excepted."""
    counts = [collections.Counter(x.name for x in net.layer) for net in nets]
    for net in nets:
        numbers = collections.Counter()
        for layer in net.layer:
            name, kind = layer.name, base_type(layer)
            if name and all(count[name] < 2 for count in counts):
                continue
            numbers[name, kind] += 1
            layer.name = f"{name}#{kind}#{numbers[name, kind]}"


def drops_recurrent(net):
    """Whether an LSTM drops its recurrent product, too, which no net of Caffe's
    own layers does: TRAIN is not compared then."""
    return any(x.approx_dropout_param.recurrent for x in net.layer)


def _telling(states):
    """Of many states, enough for each layer to be there in one of each phase
    that has it."""
    seen = set()
    for state in states:
        there = {(state.phase, i) for i in state.present}
        if not there <= seen:
            seen |= there
            yield state


class _Comparison:
    """Both nets in one state."""

    def __init__(self, ours, stock, dropped, state, folder, seed):
        self.ours = ours
        self.named = {layer.name: layer for layer in ours.layer}
        self.stock = stock
        self.state = state
        self.dropped = {x.dropout: x for x in dropped}
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        stages = "".join(f", stage {x}" for x in sorted(state.stages))
        level = f", level {state.level}" if state.level else ""
        self.where = ("TRAIN", "TEST")[state.phase] + level + stages

    def load(self, definition):
        import caffe

        path = os.path.join(self.folder, "net.prototxt")
        with open(path, "wb") as file:
            file.write(net_bytes(definition))
        return caffe.Net(
            path,
            self.state.phase,
            level=self.state.level,
            stages=sorted(self.state.stages),
        )

    def fill(self, mine, other):
        """The same inputs and weights."""
        from .stand_in import fill_inputs, fill_weights

        fill_weights(mine, self.ours, self.rng)
        for name, blobs in other.params.items():
            for i, blob in enumerate(blobs):
                if blob.data.shape == mine.params[name][i].data.shape:
                    blob.data[...] = mine.params[name][i].data
        fill_inputs((mine, other), self.stock, self.rng)

    def outputs(self):
        """Blobs of stock to look at, and their names in ours: what it puts
        out, and what its last layers read."""
        last = {}
        for i in self.state.present:
            layer = self.stock.layer[i]
            for t, blob in enumerate(layer.top):
                if not self.state.readers[i, t]:
                    last[blob] = blob
            if layer.type.endswith(("Accuracy", "Loss", "Silence")):
                last.update(self.computed(i, layer))
        return last

    def computed(self, i, layer):
        """What a loss, which may hide a difference, or a Silence reads, if
        other layers have computed it and it is not written again; and its name
        in ours."""
        mine = self.named[layer.name]
        for b, blob in enumerate(layer.bottom):
            source = self.state.sources[i, b]
            writers = [
                j for j in self.state.present if blob in self.stock.layer[j].top
            ]
            if source is None or writers[-1] != source[0]:
                continue
            if self.stock.layer[source[0]].bottom:
                yield blob, mine.bottom[b]

    def test(self):
        """Compares what the nets put out in the TEST phase."""
        mine, other = self.load(self.ours), self.load(self.stock)
        self.fill(mine, other)
        mine.forward()
        other.forward()
        return self.compare_outputs(mine, other, {}, {})

    def compare_outputs(self, mine, other, my_names, names):
        """my_names, names: what blobs of ours and of stock are called in `mine`
        and `other`, if otherwise."""
        found = []
        for name, own in self.outputs().items():
            own = my_names.get(own, own)
            if own not in mine.blobs:
                raise ValueError(f"{self.where}: blob '{own}' is gone")
            found.append(
                self.difference(
                    f"blob '{name}'",
                    mine.blobs[own].data,
                    other.blobs[names.get(name, name)].data,
                )
            )
        return found

    def difference(self, what, found, wanted, least=_ROUNDING):
        """least: what counts as the largest value at the least."""
        if found.shape != wanted.shape:
            raise ValueError(
                f"{self.where}: {what} has shape {found.shape}, in the "
                f"net with Dropouts {wanted.shape}"
            )
        scale = max(float(np.abs(wanted).max(initial=0)), least)
        error = float(np.abs(found - wanted).max(initial=0))
        return Compared(self.where, what, error / scale)

    def train(self, gradients):
        """Compares several draws of the TRAIN phase with the dense net."""
        from . import oracle

        oracle.given.clear()
        mine, my_names = _without_dropout(self.ours, None, self.state)
        mine = self.load(mine)
        for number, drop in self.dropped.items():
            if drop.products and number in self.state.present:
                oracle.given[number] = self.tiles(mine, drop)
        dense, names = _without_dropout(self.stock, self.dropped, self.state)
        other = self.load(dense)
        self.fill(mine, other)
        for tiles in oracle.given.values():
            tiles["weights"] = mine.params[tiles["product"]][0].data.copy()
            weights = other.params[tiles["product"]][0].data
            weights[...] = np.eye(len(weights))
        found = {}
        for _ in range(PASSES):
            mine.forward()
            self.give_patterns(mine)
            other.forward()
            compared = self.compare_outputs(mine, other, my_names, names)
            if gradients:
                compared += self.gradients(mine, other)
            for x in compared:
                if x.what not in found or not (
                    x.difference <= found[x.what].difference
                ):
                    found[x.what] = x
        return list(found.values())

    def tiles(self, mine, drop):
        """What a TileLayer is given, but for the pattern."""
        products = [
            self.named[self.stock.layer[i].name]
            for i in drop.products
            if i in self.state.present
        ]
        (layer,) = (x for x in products if own_pattern(x) == "TILE")
        lstm = layer.type.endswith("LSTM")
        return {
            "product": layer.name,
            "weights": mine.params[layer.name][0].data,
            "tile_size": layer.approx_dropout_param.tile_size,
            "axis": 2 if lstm else layer.inner_product_param.axis,
        }

    def give_patterns(self, mine):
        from . import oracle

        for number, drop in self.dropped.items():
            if number not in self.state.present:
                continue
            pattern = oracle.read_pattern(mine.blobs[drop.pattern].data)
            if not drop.products:
                oracle.given[number] = (pattern, drop.axis, drop.flat)
            else:
                oracle.given[number]["pattern"] = pattern

    def gradients(self, mine, other):
        """Compares the weights' gradients; those of shared weights as sums."""
        from . import oracle

        for net in (mine, other):
            net.clear_param_diffs()
            net.backward()
        tiled = {
            x["product"]: x["gradient"]
            for x in oracle.given.values()
            if isinstance(x, dict)
        }
        found, wanted = {}, {}
        for i in self.state.present:
            layer = self.stock.layer[i]
            for b, blob in enumerate(other.params.get(layer.name, ())):
                shared = layer.param[b].name if b < len(layer.param) else ""
                key = shared or f"{layer.name}[{b}]"
                diff = blob.diff
                if b == 0 and layer.name in tiled:
                    diff = tiled[layer.name]
                wanted[key] = wanted.get(key, 0) + diff
                found.setdefault(key, mine.params[layer.name][b].diff)
        # Some are nothing but rounding: a bias's in front of a BatchNorm, say.
        largest = [np.abs(x).max(initial=0) for x in wanted.values()]
        least = max(1e-2 * max(largest, default=0), _ROUNDING)
        return [
            self.difference(
                f"gradient of {key}", found[key], wanted[key], least
            )
            for key in wanted
        ]


def _without_dropout(net, dropped, state):
    """The net in one state, with oracle layers in place of its Dropouts, and
    what its blobs are called there.

    dropped: by Dropout; None for the net with patterns, which loses the
    Dropouts that it has left only. None of the new layers works in place, so
    that all gradients are right. In front of a product that drops tiles goes a
    TileLayer with its weights, and no layer shares any.
    """
    pb2 = load_caffe_pb2()
    layers = Layers(net)
    dense = dropped is not None
    dropped = dropped or {}
    tiled = {i: number for number, x in dropped.items() for i in x.products}
    result, names = [], {}
    for i, layer in enumerate(list(layers)):
        if not state.includes(layer):
            continue
        layer.ClearField("include")
        layer.ClearField("exclude")
        for spec in layer.param if dense else ():
            spec.ClearField("name")
        for b, blob in enumerate(layer.bottom):
            layer.bottom[b] = names.get(blob, blob)
        if layer.type == "Dropout":
            blob = layer.top[0]
            names[blob] = layers.unused(f"{blob}_masked")
            masked = i in dropped and not dropped[i].products
            number = i if masked else -1
            layer.CopyFrom(_oracle(layer, "MaskLayer", number, names[blob]))
        elif i in tiled and state.includes(net.layer[tiled[i]]):
            top = layers.unused(f"{layer.name}_tiles")
            number = tiled[i]
            tiles = pb2.LayerParameter(name=top, bottom=[layer.bottom[0]])
            result.append(_oracle(tiles, "TileLayer", number, top))
            layer.bottom[0] = top
            if layer.type == "InnerProduct":
                layer.inner_product_param.axis = -1
        for t, blob in enumerate(layer.top):
            layer.top[t] = names.get(blob, blob)
        result.append(layer)
    layers[:] = result
    net = layers.to_net()
    net.force_backward |= dense  # a TileLayer has weights, which Caffe ignores
    return net, names


def _oracle(layer, kind, number, top):
    """An oracle layer that reads what `layer` reads."""
    new = type(layer)(
        name=layer.name, type="Python", bottom=[layer.bottom[0]], top=[top]
    )
    new.python_param.module = "approx_dropout.oracle"
    new.python_param.layer = kind
    new.python_param.param_str = str(number)
    return new
