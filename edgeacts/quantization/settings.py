"""What a quantization is asked to do."""

from __future__ import annotations

from edgeacts.errors import UsageError
from edgeacts.names import check_name, check_number
from edgeacts.quantization.ranges import METHODS
from edgeacts.records.base import Record

AUTO = "auto"
ACTIVATION_TYPES = ("uint8", "int8")
REDUCE_RANGE = (AUTO, "yes", "no")


class QuantizeSettings(Record, frozen=True, kw_only=True):
    """How a model is quantized. Weights are int8, symmetric, one scale an output channel.

    `activation_type` is what tensors between layers become. `ranges` is one of `ranges.METHODS`, or `auto`: all are tried
    and the one with the smallest output error on held-out images is kept. `reduce_range` leaves weights 7 bits, so that
    uint8 x int8 products do not saturate on CPUs without VNNI; `auto` is resolved by those who know the machine it is for,
    and is `no` to everybody else. Where the output's signal-to-noise ratio is below `enough_db`, every layer's part in it is
    measured (`sensitivity`), and a layer is left in float where the ratio rises by at least `float_gain_db` and the layers
    left so far do at most `float_macs` of the multiply-adds.
    `held_out` is the share of the images that judge. Raises UsageError for a value that does not exist.
    """

    activation_type: str = "uint8"
    ranges: str = AUTO
    reduce_range: str = AUTO
    bias_correction: bool = True
    sensitivity: bool = True
    enough_db: float = 30.0
    float_gain_db: float = 1.0
    float_macs: float = 0.05
    max_float_layers: int = 4
    held_out: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.activation_type, ACTIVATION_TYPES, "activation type")
        check_name(self.ranges, (AUTO, *METHODS), "ranges")
        check_name(self.reduce_range, REDUCE_RANGE, "reduced range")
        for name, value, low, high in (
            ("enough_db", self.enough_db, 0.0, 200.0),
            ("float_gain_db", self.float_gain_db, 0.0, 100.0),
            ("float_macs", self.float_macs, 0.0, 1.0),
            ("held_out", self.held_out, 0.05, 0.5),
        ):
            check_number(name, value, low, high)
        if self.seed < 0 or self.max_float_layers < 0:
            raise UsageError(
                f"seed {self.seed} and max_float_layers {self.max_float_layers} must be 0 or more"
            )

    @property
    def seven_bits(self) -> bool:
        """Whether weights get the reduced range; `auto` that nobody resolved is no."""
        return self.reduce_range == "yes"
