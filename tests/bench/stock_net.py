"""The net of Caffe's own layers that an approximate one amounts to.

ROW becomes a product of the layer's output with a mask, s * keep. TILE becomes
a layer for each group of samples, whose weights must be W * s * tiles.
"""

import networks
from net_parts import Enum, layer


class StockNet:
    """layers: nested dicts, for make_prototxt.

    masks: {blob: pattern}, inputs of the net.
    tiles: {layer: (pattern, tile size)}; group g's layer is LAYER_g.
    """

    def __init__(self, experiment):
        self.groups = {
            f"pattern{place}": number
            for place, number in enumerate(experiment.place_groups, 1)
        }
        self.batch = [experiment.batch_size]  # all axes but the units'
        if experiment.workload == "ptb":
            self.batch.insert(0, experiment.sequence_length)
        self.layers, self.masks, self.tiles = [], {}, {}
        for original in networks.net(experiment)["layer"]:
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

    def add_mask(self, stock, pattern, embedded):
        """The layer, if there is one, and its product with a mask."""
        (top,), undropped, units = stock["top"], stock["bottom"][0], embedded
        if stock["type"]:
            undropped = f"{top}_undropped"
            self.layers.append({**stock, "top": [undropped]})
            units = (
                stock.get("inner_product_param") or stock["recurrent_param"]
            )["num_output"]
        mask = f"{top}_mask"
        shape = {"shape": {"dim": [*self.batch, units]}}
        product = {"operation": Enum("PROD")}
        self.layers += [
            layer(mask, "Input", [], [mask], input_param=shape),
            layer(
                f"{top}_dropped",
                "Eltwise",
                [undropped, mask],
                [top],
                eltwise_param=product,
            ),
        ]
        self.masks[mask] = pattern

    def add_tiles(self, stock, pattern, tile_size):
        """A layer for each group, between Slices and a Concat."""
        name, bottoms, (top,) = stock["name"], stock["bottom"], stock["top"]
        axis = {"axis": len(self.batch) - 1}
        groups = range(self.groups[pattern])
        for bottom in bottoms:
            blob = f"{name}_{bottom}"
            slices = [f"{blob}_{g}" for g in groups]
            self.layers.append(
                layer(blob, "Slice", [bottom], slices, slice_param=axis)
            )
        for g in groups:
            changes = {
                "name": f"{name}_{g}",
                "bottom": [f"{name}_{bottom}_{g}" for bottom in bottoms],
                "top": [f"{top}_{g}"],
            }
            self.layers.append({**stock, **changes})
        tops = [f"{top}_{g}" for g in groups]
        self.layers.append(
            layer(f"{name}_all", "Concat", tops, [top], concat_param=axis)
        )
        self.tiles[name] = pattern, tile_size
