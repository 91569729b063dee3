"""The param_str of a PatternSearchLayer: JSON with the search's arguments."""

import json

from .search import search

KEYS = (
    "dropout_ratio",
    "family",
    "max_period",
    "lambda1",
    "lambda2",
    "lambda3",
    "seed",
)


def parse_param_str(param_str):
    """The search's arguments. ValueError for what is no JSON object of them;
    their values are the search's to check."""
    try:
        arguments = json.loads(param_str)
    except ValueError as error:
        problem = f"param_str {param_str!r} is not JSON ({error})"
        raise ValueError(problem) from None
    if not isinstance(arguments, dict):
        raise ValueError(f"param_str {param_str!r} is no JSON object")
    for key, value in arguments.items():
        if key not in KEYS:
            raise ValueError(f"key {key!r} in param_str is unknown")
        if isinstance(value, (bool, list, dict)) or value is None:
            raise ValueError(f"key {key!r} in param_str is {value!r}")
    if "dropout_ratio" not in arguments:
        raise ValueError("key 'dropout_ratio' is missing in param_str")
    return arguments


def search_for_layer(name, param_str, search=search):
    """What the search finds for the layer of that name; its ValueErrors, and
    those for a bad param_str, name the layer and the legal keys."""
    try:
        return search(**parse_param_str(param_str))
    except ValueError as error:
        raise ValueError(
            f"PatternSearchLayer '{name}': {error}; param_str is a JSON "
            f"object with dropout_ratio and, if wanted, {', '.join(KEYS[1:])}"
        ) from None
