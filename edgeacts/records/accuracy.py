"""Records of what quantization costs in accuracy: paired drops, the gate's tries, saturation on other CPUs."""

from typing import Literal

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record

Judgement = Literal["holds", "fails", "cannot tell"]
GateVerdict = Literal["held", "failed", "cannot tell"]


class PairedDrop(Record, frozen=True):
    """`lost` images only the reference has right, `gained` only the candidate; `drop`, `low`, `high` in points.

    [low, high] holds the true drop in 95 of 100 such comparisons. A negative drop is a gain.
    """

    total: int
    reference_correct: int
    candidate_correct: int
    lost: int
    gained: int
    drop: float
    low: float
    high: float

    def verdict(self, max_drop: float) -> Judgement:
        """`holds` when the whole interval is within `max_drop` points, `fails` when all of it is beyond, else neither."""
        if self.high <= max_drop:
            return "holds"
        return "fails" if self.low > max_drop else "cannot tell"

    @property
    def accuracy(self) -> float:
        """The candidate's share of right answers."""
        return self.candidate_correct / self.total

    @property
    def differing(self) -> float:
        """The share of images that only one of the two models has right."""
        return (self.lost + self.gained) / self.total

    def __str__(self) -> str:
        return f"drop {self.drop:.2f} points ({self.low:.2f} to {self.high:.2f})"


class LatencyRatio(Record, frozen=True):
    """Latency over the float model's, timed in turn with it; [low, high] holds the true ratio in 95 of 100 cases."""

    ratio: float
    low: float
    high: float


class GateTry(Record, frozen=True):
    """One model that was tried: `float_layers` were left in float, `returned` is the one that was put back last ("" at first).

    `float_macs_share` is the share of all multiply-adds in those layers, `latency` None where it was not measured.
    """

    float_layers: tuple[str, ...]
    returned: str
    drop: PairedDrop
    verdict: Judgement
    size_bytes: int
    float_macs_share: float
    latency: LatencyRatio | None


class GateRecord(Record, frozen=True, tag_field="kind", tag="gate"):
    """What was tried until no evidence spoke for a drop of more than `max_drop` points, or nothing was left to try.

    `model_sha256` is the hash of the INT8 file that was written with it, "" before there is one. `chosen` is the index of the
    try that was handed back. `order` are the layers as they were to be put back, with their sensitivities and costs.
    `outcome` is what the interval of that try says, `passed` what follows: unless `strict`, what cannot be told passes (but for a
    drop seen beyond the limit on enough images). `images_needed`: so many would tell, the models differing as often as they do.
    `timed_on` says where latencies were measured, "" where they were not. `summary` is one sentence.
    """

    model_sha256: str
    max_drop: float
    strict: bool
    passed: bool
    outcome: Judgement
    tries: tuple[GateTry, ...]
    chosen: int
    order: tuple[str, ...]
    sensitivities: dict[str, float]
    costs: dict[str, float]
    float_size_bytes: int
    images_needed: int
    timed_on: str
    summary: str
    seconds: float
    circumstances: Circumstances
    version: int = 3

    @property
    def verdict(self) -> GateVerdict:
        """held: proved; cannot tell: handed over because nothing shows a loss beyond the limit; failed."""
        if not self.passed:
            return "failed"
        return "held" if self.outcome == "holds" else "cannot tell"

    @property
    def kept(self) -> GateTry:
        """The try that was handed back."""
        return self.tries[self.chosen]


class LayerSaturation(Record, frozen=True):
    """Of `pairs` pairs of products that a layer summed in 16 bits, `saturated` reached the limits."""

    layer: str
    pairs: int
    saturated: int


class SaturationRecord(Record, frozen=True, tag_field="kind", tag="saturation"):
    """One INT8 file on CPUs that sum 8-bit products in 16 bits (x86 without VNNI) and on those that do not (VNNI, ARM).

    `saturates_here` is what a probe found. `saturating` and `exact` are right answers of `total` images on either kind, `loss`
    the paired drop from exact to saturating. `other` says how the one that is not here was found ("emulated", "32-bit option").
    `checked_outputs` outputs of the emulation were compared with the runtime here, `differing_outputs` of them differed.
    """

    model_sha256: str
    saturates_here: bool
    total: int
    saturating_correct: int
    exact_correct: int
    loss: PairedDrop
    other: str
    checked_outputs: int
    differing_outputs: int
    layers: tuple[LayerSaturation, ...]
    summary: str
    seconds: float
    circumstances: Circumstances
    version: int = 1
