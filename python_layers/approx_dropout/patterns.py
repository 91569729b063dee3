"""The layers that a converted net draws its patterns with."""

import functools
import json

from .edits import rename
from .graph import rules
from .proto import load_caffe_pb2
from .search import PERIOD_LAMBDA3, search

_search = functools.lru_cache(maxsize=None)(search)


class PatternLayers:
    """A DropoutPattern layer for each Dropout, or for several that share it,
    and one PatternSearch layer per rate, unless K is written into the net.

    All name their family, so that K and the family that it was searched for
    stay together.
    """

    def __init__(self, layers, family, max_period, inline_probability):
        self.net_layers = layers
        self.family = family
        self.max_period = max_period
        self.inline_probability = inline_probability
        self.fields = {"lambda3": PERIOD_LAMBDA3} if family == "PERIOD" else {}
        self.made = {}  # blob -> (layer, rate)
        self.searches = {}  # (rate, rules) -> blob of K
        self.shared = {}  # key -> blob

    def add(self, wanted, rate, groups, drop):
        """A DropoutPattern with the rules of layer `drop`; returns its blob."""
        pb2 = load_caffe_pb2()
        name = self.net_layers.unused(wanted)
        layer = pb2.LayerParameter(name=name, type="DropoutPattern", top=[name])
        layer.include.extend(drop.include)
        layer.exclude.extend(drop.exclude)
        param = layer.dropout_pattern_param
        param.family = param.Family.Value(self.family)
        if groups > 1:
            param.groups = groups
        if self.inline_probability:
            found = _search(rate, self.family, self.max_period, **self.fields)
            param.probability.extend(found.probability)
        self.made[name] = (layer, rate)
        self.net_layers.extra_inputs.add(name)
        return name

    def rename(self, blob, wanted):
        """Gives a pattern made here another name; returns it."""
        name = self.net_layers.unused(wanted)
        layer, rate = self.made.pop(blob)
        layer.name = layer.top[0] = name
        self.made[name] = (layer, rate)
        self.net_layers.extra_inputs.add(name)
        rename(self.net_layers, blob, name)
        return name

    def groups(self, blob):
        """Groups of a pattern, made here or by hand."""
        made = [layer for layer, _ in self.made.values()]
        for layer in made + self.net_layers:
            if layer.type == "DropoutPattern" and blob in layer.top:
                return layer.dropout_pattern_param.groups
        return 1

    def insert(self):
        """Puts all of them into the net, before the first that reads them."""
        at = {
            blob: min(
                i for i, x in enumerate(self.net_layers) if blob in x.bottom
            )
            for blob in self.made
        }
        before = {}
        for blob in sorted(at, key=at.get):
            layer, rate = self.made[blob]
            new = before.setdefault(at[blob], [])
            if not self.inline_probability:
                layer.bottom.append(self._search_blob(layer, rate, new))
            new.append(layer)
        for i in sorted(before, reverse=True):
            self.net_layers[i:i] = before[i]

    def _search_blob(self, pattern, rate, new):
        """K's blob for a pattern; adds its layer to `new` if there is none."""
        alike = [rules(x) for x, r in self.made.values() if r == rate]
        key = (rate, None if ((), ()) in alike else rules(pattern))
        if key in self.searches:
            return self.searches[key]
        name = self.searches[key] = self.net_layers.unused(f"k_{rate:g}")
        layer = load_caffe_pb2().LayerParameter(
            name=name, type="Python", top=[name]
        )
        if key[1] is not None:
            layer.include.extend(pattern.include)
            layer.exclude.extend(pattern.exclude)
        layer.python_param.module = "approx_dropout"
        layer.python_param.layer = "PatternSearchLayer"
        layer.python_param.param_str = json.dumps(
            {
                "dropout_ratio": rate,
                "family": self.family,
                "max_period": self.max_period,
                **self.fields,
            }
        )
        new.append(layer)
        return name
