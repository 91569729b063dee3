"""The speed-up that the arithmetic of a training step allows."""


def perceptron_products(experiment):
    """[(multiply-adds of a sample, share that is kept)] of an MLP's layers.

    784-h1-h2-10, say. The first layer's input needs no gradient, so it has
    two products, the others have three. ROW drops inputs and outputs of a
    layer, TILE the synapses behind the hidden layers, or those before them.
    """
    units = [784, *experiment.hidden, 10]
    kept = [1 - rate for rate in experiment.rates]
    products = []
    for i, (inputs, outputs) in enumerate(zip(units, units[1:])):
        share = 1.0
        if experiment.pattern == "ROW":
            share = ([1, *kept][i]) * ([*kept, 1][i])
        elif experiment.pattern == "TILE":
            behind = experiment.tiles == "behind"
            share = [1, *kept][i] if behind else [*kept, 1][i]
        products.append(((2 if i == 0 else 3) * inputs * outputs, share))
    return products


def language_model_products(experiment):
    """The same of an LSTM language model, dropped between its layers.

    The input half of each layer and the softmax's product shrink, ROW or
    TILE; the recurrent half does not. The embedding is looked up.
    """
    hidden = experiment.hidden
    kept = [1 - rate for rate in experiment.rates]
    if not experiment.pattern:
        kept = [1] * (len(hidden) + 1)
    products = []
    for i, (inputs, units) in enumerate(zip((hidden[0], *hidden), hidden)):
        products.append((3 * 4 * inputs * units, kept[i]))
        products.append((3 * 4 * units * units, 1))
    products.append((3 * hidden[-1] * experiment.vocabulary, kept[-1]))
    return products


def bound(experiment):
    """All multiply-adds of a step's matrix products over those of the kept.

    1 for conventional dropout and for none. It is the same for RESIDUE and
    PERIOD: layers draw independently, so the expected product of two kept
    shares is the product of their means. The solver's update is not counted,
    so that a whole step can do better than this against a dense update.
    """
    if experiment.workload == "mnist":
        products = perceptron_products(experiment)
    else:
        products = language_model_products(experiment)
    kept = sum(count * share for count, share in products)
    return sum(count for count, _ in products) / kept
