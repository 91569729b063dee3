"""The net of Caffe's own layers that an approximate one amounts to.

ROW becomes a product of the layer's output with a mask, s * keep. TILE becomes
a product of all samples for each group, with the weights W * s * tiles, times
a mask of the group's samples; the layer itself, its weights the identity, takes
their sum.
"""

import nets.solver
from nets.parts import Enum, layer


class StockNet:
    """layers: nested dicts, for nets/text.py.

    masks: {blob: pattern}, inputs of the net, s * keep.
    groups: {blob: (pattern, group)}, inputs too, 1 for the group's samples.
    tiles: {layer: (pattern, tile size)}; group g's product is LAYER_g.
    """

    def __init__(self, experiment):
        self.place_groups = {
            f"pattern{place}": number
            for place, number in enumerate(experiment.place_groups, 1)
        }
        self.batch = [experiment.batch_size]  # all axes but the units'
        if experiment.workload == "ptb":
            self.batch.insert(0, experiment.sequence_length)
        self.layers, self.masks, self.groups, self.tiles = [], {}, {}, {}
        for original in nets.solver.net(experiment)["layer"]:
            if original["type"] not in ("Python", "DropoutPattern"):
                self.add(original, experiment.hidden[0])

    def add(self, original, embedded):
        """Adds a layer, or what takes its place; embedded: the embedding's
        units."""
        stock = dict(original)
        approximate = stock.pop("approx_dropout_param", None)
        if approximate is None:
            self.layers.append(stock)
            return
        stock["type"] = stock["type"].removeprefix("ApproxDropout")
        bottoms = stock["bottom"]
        patterns = [name for name in bottoms if name.startswith("pattern")]
        stock["bottom"] = bottoms[: -len(patterns)]
        kind = approximate.get("pattern", "ROW")
        if kind == "TILE":
            self.add_tiles(stock, patterns[0], approximate["tile_size"])
        elif kind == "NONE":
            self.layers.append(stock)
        else:
            self.add_mask(stock, patterns[0], embedded)

    def add_masked(self, name, bottom, top, units):
        """top = bottom * name, an input of the net."""
        shape = {"shape": {"dim": [*self.batch, units]}}
        product = {"operation": Enum("PROD")}
        self.layers += [
            layer(name, "Input", [], [name], input_param=shape),
            layer(
                f"{top}_masked",
                "Eltwise",
                [bottom, name],
                [top],
                eltwise_param=product,
            ),
        ]

    def add_mask(self, stock, pattern, embedded):
        """The layer, if there is one, and its product with a mask."""
        (top,), undropped, units = stock["top"], stock["bottom"][0], embedded
        if stock["type"]:
            undropped = f"{top}_undropped"
            self.layers.append({**stock, "top": [undropped]})
            units = (
                stock.get("inner_product_param") or stock["recurrent_param"]
            )["num_output"]
        self.add_masked(f"{top}_mask", undropped, top, units)
        self.masks[f"{top}_mask"] = pattern

    def add_tiles(self, stock, pattern, tile_size):
        """The groups' products, their sum, and the layer."""
        name, (bottom, *others) = stock["name"], stock["bottom"]
        field = "inner_product_param"
        if field in stock:
            units = stock[field]["num_output"]
        else:
            units = 4 * stock["recurrent_param"]["num_output"]  # gates
        product = {
            "num_output": units,
            "bias_term": False,
            "axis": len(self.batch),
        }
        sums = []
        for group in range(self.place_groups[pattern]):
            part = f"{name}_{group}"
            self.layers.append(
                layer(
                    part,
                    "InnerProduct",
                    [bottom],
                    [part],
                    inner_product_param=product,
                )
            )
            self.add_masked(f"{part}_mask", part, f"{part}_kept", units)
            self.groups[f"{part}_mask"] = pattern, group
            sums.append(f"{part}_kept")
        if len(sums) > 1:
            total = f"{name}_sum"
            self.layers.append(layer(total, "Eltwise", sums, [total]))
            sums = [total]
        self.layers.append({**stock, "bottom": sums + others})
        self.tiles[name] = pattern, tile_size
