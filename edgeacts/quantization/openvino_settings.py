"""What a quantization for OpenVINO is asked to do."""

from __future__ import annotations

from edgeacts.errors import UsageError
from edgeacts.names import check_name, check_number
from edgeacts.quantization.gate_verdict import check_limit
from edgeacts.quantization.settings import AUTO, REDUCE_RANGE
from edgeacts.records.base import Record

ANY_DROP = 100.0  # points: no accuracy is too low
STEP_SHARES = (0.25, 0.5, 1.0)
FUSED_SHARES = (1.0, 3.0)  # that `tune` measures curves inside convolutions for


class OpenVinoSettings(Record, frozen=True, kw_only=True):
    """How a model is quantized for OpenVINO, and what makes a variant acceptable.

    Activations may be polynomials, or curves inside convolutions (which mostly need 2 to 3 steps), whose root-mean-square error
    on the inputs that occur is that of an even error of at most `max_step_share` of the 8-bit step of their output; 0 keeps them
    as they were exported. A variant is acceptable when its
    output noise is at most `extra_noise_db` decibel above that of NNCF with exact activations and, where there are labels,
    nothing shows that its accuracy is more than `max_drop` points below the float model's (100: whatever it is).
    `reduce_range`: weights of 7 bits; `auto` where products of 8 bits saturate on this machine. `held_out` is the share of the
    images that only judge. The written model takes any batch that the float model takes or, unless it is 0, `batch` alone:
    OpenVINO's own interface fuses no activation while the batch is open; edgeacts' sessions compile for the batch that they get.
    `budget_s` is the time for comparing latencies.
    Raises UsageError for other values.
    """

    reduce_range: str = AUTO
    max_step_share: float = 1.0
    extra_noise_db: float = 1.0
    max_drop: float = 0.5
    held_out: float = 0.25
    batch: int = 0
    threads: int = 1
    budget_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.reduce_range, REDUCE_RANGE, "reduced range")
        for name, value, low, high in (
            ("max_step_share", self.max_step_share, 0.0, 8.0),
            ("extra_noise_db", self.extra_noise_db, 0.0, 60.0),
            ("held_out", self.held_out, 0.05, 0.5),
            ("batch", self.batch, 0, 4096),
            ("budget_s", self.budget_s, 0.1, 3600.0),
        ):
            check_number(name, value, low, high)
        if self.max_drop != ANY_DROP:
            check_limit(self.max_drop)
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} must be 0 or more")

    @property
    def step_shares(self) -> tuple[float, ...]:
        """Errors that polynomials are tried with, as shares of a step."""
        kept = [share for share in STEP_SHARES if share < self.max_step_share]
        return (*kept, self.max_step_share) if self.max_step_share else ()
