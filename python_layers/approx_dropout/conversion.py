"""What conversions take and give, there (convert.py) and back (revert.py)."""

import dataclasses
import typing

from .families import check_groups, check_max_period, check_rate

PATTERNS = ("ROW", "TILE")


@dataclasses.dataclass(frozen=True)
class Options:
    """What convert() takes besides the net; its docstring says what it is."""

    pattern: str = "ROW"
    family: str = "RESIDUE"
    max_period: int = 16
    inline_probability: bool = False
    groups: int = 1
    last_groups: typing.Optional[int] = None
    rate: typing.Optional[float] = None
    only: tuple = ()
    skip: tuple = ()
    share: bool = False
    feature_maps: bool = False
    shapes: dict = dataclasses.field(default_factory=dict)

    def check(self):
        """Raises ValueError for an illegal one."""
        if self.pattern not in PATTERNS:
            raise ValueError(
                f"pattern is {self.pattern!r}, must be ROW or TILE"
            )
        if self.feature_maps and self.pattern != "ROW":
            raise ValueError(
                f"feature_maps goes with pattern ROW, not {self.pattern}"
            )
        check_max_period(self.max_period, self.family)
        check_groups(self.groups, self.family)
        if self.last_groups is not None:
            check_groups(self.last_groups, self.family, "last_groups")
        if self.rate is not None:
            check_rate(self.rate, self.family, self.max_period)


class Dropped(typing.NamedTuple):
    """What took a Dropout's place, for check.py.

    dropout: its index in the net with Dropouts. pattern: the blob of its
    pattern in the other net. products: indices, as dropout's, of the layers
    that drop TILE there, one in each state; none if units are dropped, of
    `axis` or, if flat, of all but the first.
    """

    dropout: int
    pattern: str
    products: tuple = ()
    flat: bool = False
    axis: int = -1


class Result(typing.NamedTuple):
    """net: the NetParameter. notes: a line for each Dropout. dropped: a Dropped
    for each that was converted."""

    net: object
    notes: list
    dropped: list
