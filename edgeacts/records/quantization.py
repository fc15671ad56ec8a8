"""Records of quantization."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record


class OutputError(Record, frozen=True):
    """How far an 8-bit model's outputs are from the float model's on held-out images.

    `sqnr_db` = 10·log10(variance of the float output / mean squared error), over all outputs. `kl` is the mean divergence of
    the classes' probabilities in nats and `agreement` the share of images with the same class; None where no output has classes.
    """

    sqnr_db: float | None
    kl: float | None = None
    agreement: float | None = None


class RangeTrial(Record, frozen=True):
    """One way to choose ranges, with or without corrected biases, and the error it leaves."""

    method: str
    bias_correction: bool
    error: OutputError


class LayerNoise(Record, frozen=True):
    """One layer: the error with only this layer in 8 bits, its share of all layers' noise, and why it is in float or not.

    `multiply_adds_share` and `weights_share` are of the whole network.
    """

    layer: str
    operator: str
    sqnr_db: float | None
    noise_share: float
    multiply_adds_share: float
    weights_share: float
    kept_float: bool
    why: str


class QuantizationRecord(Record, frozen=True, tag_field="kind", tag="quantization"):
    """What a quantization did: settings, the ranges tried and the chosen one, each layer's sensitivity, files and their sizes.

    `images` judge and calibrate: `held_out` of them judge. `exact` is the error in exact arithmetic, which any machine with
    VNNI or ARM shows, `deployed` that of ONNX Runtime as it runs here.
    """

    model: str
    model_sha256: str
    portable: str
    portable_sha256: str
    inlined: str
    inlined_sha256: str
    size_bytes: int
    float_size_bytes: int
    images: int
    held_out: int
    settings: dict[str, str | int | float | bool | None]
    chosen: str
    trials: tuple[RangeTrial, ...]
    layers: tuple[LayerNoise, ...]
    float_layers: tuple[str, ...]
    activations: dict[str, int]
    exact: OutputError
    deployed: OutputError
    seconds: float
    circumstances: Circumstances
    version: int = 1

    @property
    def size_ratio(self) -> float:
        """Of the 8-bit file to the float file."""
        return self.size_bytes / max(1, self.float_size_bytes)
