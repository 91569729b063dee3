"""What a table or figure of the paper's is made of."""

import dataclasses

from nets.experiment import METHODS

SERIES = METHODS[1:]  # but for nets without dropout, the conventional one first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """Nets that are compared with each other, the conventional one first.

    trained, timed: {series: Experiment}; timed is {} if speed is no question.
    seeds: each trained net is trained with seeds 1 ... seeds, none with 0.
    """

    label: str
    trained: dict
    timed: dict = dataclasses.field(default_factory=dict)
    seeds: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A table or figure. varies: what the points' labels are.

    script: which scripts/reproduce_*.sh runs it, by the end of its name.
    measure: what of a trained net is compared, "accuracy" or "perplexity".
    curves: it is about the measure in the course of training.
    gaps: it is about the difference to the conventional net there.
    settles: it is about where the measure stops rising, not about the end.
    """

    name: str
    title: str
    script: str
    varies: str
    points: tuple
    measure: str
    curves: bool = False
    gaps: bool = False
    settles: bool = False
