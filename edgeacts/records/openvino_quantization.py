"""Record of a quantization for OpenVINO: every way that was tried, what it cost, what it ran as, and which one was kept."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.accuracy import PairedDrop
from edgeacts.records.base import Record
from edgeacts.records.latency import Comparison
from edgeacts.records.quantization import OutputError


class Timed(Record, frozen=True):
    """Latency over that of the float model in the same run, with its 95 % interval; `median_ms` of the model itself."""

    ratio: float
    low: float
    high: float
    comparison: Comparison
    median_ms: float


class Int8Candidate(Record, frozen=True):
    """One INT8 variant: which layers are in float (`placement`), how activations are computed, and what was measured.

    `step_share` is the error that polynomials may have, as a share of an 8-bit step; None for activations as they were exported.
    `polynomials` is the number of activations that became one, `form_error` the largest distance among them.
    `layers` counts executed layers by precision, `activations` says where each activation ran.
    `time` is None where it was not measured; `why` says why it is acceptable or not. `drop` compares its right answers with the
    float model's, image by image; None without labels.
    """

    name: str
    placement: str
    step_share: float | None
    polynomials: int
    form_error: float
    error: OutputError
    accuracy: float | None
    time: Timed | None
    layers: str
    activations: str
    size_bytes: int
    acceptable: bool
    why: str
    drop: PairedDrop | None = None


class OpenVinoQuantizationRecord(Record, frozen=True, tag_field="kind", tag="openvino-quantization"):
    """What a quantization for OpenVINO did. `chosen` is a candidate's name, `faster` whether it is faster than the float model.

    `reason` says in a sentence why there is nothing faster, or what was gained. `half_range`: weights have 7 bits, because
    8-bit products saturate on this CPU, or because it was asked for. `xml` is "" where nothing was written.
    `tuned` says what a tuning file advised and what came of it; "" where none did.
    """

    model: str
    model_sha256: str
    xml: str
    xml_sha256: str
    weights_sha256: str
    images: int
    held_out: int
    half_range: bool
    settings: dict[str, str | int | float | bool | None]
    float_accuracy: float | None
    candidates: tuple[Int8Candidate, ...]
    chosen: str
    faster: bool
    reason: str
    threads: int
    seconds: float
    circumstances: Circumstances
    tuned: str = ""
    version: int = 1

    @property
    def kept(self) -> Int8Candidate:
        """The candidate that was chosen."""
        return next(one for one in self.candidates if one.name == self.chosen)
