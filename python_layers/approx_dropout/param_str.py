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


def _short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."


def parse_param_str(param_str):
    """The search's arguments. ValueError for what is no JSON object of them;
    their values are the search's to check."""
    said = f"param_str {_short(param_str)}"
    try:
        arguments = json.loads(param_str)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{said} is not JSON ({error})") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"{said} is no JSON object")
    for key, value in arguments.items():
        if key not in KEYS:
            raise ValueError(f"key {_short(key)} in param_str is unknown")
        if isinstance(value, (bool, list, dict)) or value is None:
            raise ValueError(f"key {key!r} in param_str is {_short(value)}")
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
