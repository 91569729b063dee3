"""What the paper reports, as far as our copy of it can be read.

Accuracy in percent. A method of the paper's in one of its tables or figures
whose number is not here cannot be read; see `number`.
"""

NOT_LEGIBLE = "not legible"
NOT_THERE = "–"

# {study: {(point, series): {what: number, or words where it says no more}}}
NUMBERS = {
    "fig4": {
        ("0.3, 0.3", "row_period"): {"speed_up": 1.2},
        ("0.7, 0.7", "row_period"): {"speed_up": 1.8},
        ("0.3, 0.3", "tile_period"): {"speed_up": 1.18},
        ("0.7, 0.7", "tile_period"): {"speed_up": 1.6},
    },
    "table1": {
        ("4096×4096", "row_period"): {"speed_up": "about 2"},
        ("4096×4096", "tile_period"): {"speed_up": "about 2"},
    },
    "table2": {
        ("0.3", "conventional"): {"value": 47.9},
        ("0.5", "conventional"): {"value": 47.3},
        ("0.7", "conventional"): {"value": 45.9},
        ("0.3", "row_period"): {"speed_up": 1.18, "value": 46.9},
        ("0.5", "row_period"): {"speed_up": 1.47, "value": 46.0},
        ("0.7", "row_period"): {"speed_up": 1.53, "value": 44.5},
        ("0.3", "tile_period"): {"speed_up": 1.18, "value": 47.2},
        ("0.5", "tile_period"): {"speed_up": 1.43, "value": 46.5},
        ("0.7", "tile_period"): {"speed_up": 1.49, "value": 44.4},
    },
    "fig5": {},
    "fig6a": {
        ("0.3", "row_period"): {"speed_up": 1.24},
        ("0.7", "row_period"): {"speed_up": 1.85, "difference": 0.04},
    },
    "fig6b": {},
}

# What the paper says about a study in its text.
CLAIMS = {
    "fig4": "The paper: ROW gains 20–80 %, TILE 18–60 %; the accuracy loss is "
    "below 0.47 points, TILE's less than ROW's.",
    "table1": "The paper: both patterns reach a speed-up of 2 with "
    "4096×4096; accuracy falls by less than 0.5 points and rises in places.",
    "table2": "The paper says that accuracy falls by less than 1 %; by its "
    "own numbers it falls by 0.7 to 1.5 points.",
    "fig5": "The paper: ROW converges earlier than conventional dropout, and "
    "more smoothly.",
    "fig6a": "The paper: ROW gains 24–85 %; at rate 0.7 test perplexity rises "
    "by 0.04.",
    "fig6b": "The paper: speed-up rises with the batch, and so does "
    "perplexity, since one pattern serves the whole batch.",
}

# How damaged, missing or contradictory parts are read.
READING = (
    "Equation (1) calls the rows with (i − b) mod dp = 0 dropped, the text "
    "says that dp = 3 drops two rows of three. Here those rows are the kept "
    "ones: period dp keeps 1/dp and drops (dp − 1)/dp.",
    "How kept outputs are scaled in training is not said. Both dp and "
    "1/(1 − p) are unbiased; here it is 1/(1 − p).",
    "N, λ1 and λ2 of the search are not said. Here λ1 : λ2 = 10⁵, which keeps "
    "the rate within 0.001, and N is as the tables say: 16 for PERIOD, and "
    "for RESIDUE in the LSTMs a number near it that divides their units. The "
    "paper's loss has two terms; a third is added, λ3 times the variance of "
    "the dropped fraction: without it PERIOD's MLPs learn visibly worse and "
    "its LSTMs not at all.",
    "Which products' synapses TILE drops for a hidden layer is not said. Here "
    "it is those behind it, where conventional dropout acts; those before "
    "the first one would drop pixels, and that costs accuracy.",
    "Tiles are numbered along the diagonals: tile (r, c) is kept if "
    "(r + c) mod dp fits. Numbered row by row, the same inputs would be "
    "dropped for every output where dp divides the number of tile columns.",
    "Epochs and decay of the MLPs' training, the pairs of rates in Fig. 4, "
    "the batch sizes and the rate of Fig. 6(b) and the decay of the LSTMs' "
    "learning rate are not said. The LSTMs follow the published recipes for "
    "Penn Treebank unless the profile shortens them.",
    "The paper draws one pattern for all samples of a batch, and so does "
    "PERIOD here. RESIDUE's LSTMs draw several, each for a group of samples, "
    "as each table says.",
    "Table II's corpus is only called a dictionary of 8,800 words, and how "
    "its accuracy is counted is not said. Here it is Penn Treebank with its "
    "most frequent 8,800 words, and the share of all words of the test text "
    "that the net holds to be the likeliest next ones.",
    "The paper measured a GTX 1080 Ti; what was measured here is said with "
    "each table. Its speed-ups are against its own Caffe's dropout, ours "
    "against the net and build named with each table.",
)


def number(study, point, series, what):
    """A number of the paper's, words instead, NOT_LEGIBLE, or NOT_THERE
    where the paper has no such cell.

    study, point: name and label. what: "speed_up", "value" (what the study
    measures) or "difference" (of that to conventional dropout).
    """
    if study not in NUMBERS or series in ("row", "tile"):
        return NOT_THERE
    cells = NUMBERS[study]
    if series == "conventional" and what != "value":
        return 1 if what == "speed_up" else NOT_THERE
    value = cells.get((point, series), {}).get(what, NOT_LEGIBLE)
    if what == "difference" and value == NOT_LEGIBLE:
        mine = number(study, point, series, "value")
        other = number(study, point, "conventional", "value")
        if NOT_LEGIBLE not in (mine, other):
            return round(mine - other, 6)
    return value
