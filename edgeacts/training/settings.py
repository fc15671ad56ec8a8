"""`TrainSettings`: everything that decides the result of a training run, checked when it is made."""

import math
from typing import Any

import msgspec

from edgeacts.errors import UsageError
from edgeacts.names import check_name

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "onecycle", "constant")
PRECISIONS = ("32", "bf16-mixed", "16-mixed")
PARAMETER_TRAINING = ("as_defined", "fixed", "layer", "channel")

# Peak learning rate and weight decay where none is given; they suit batches of 64 to 128.
DEFAULT_LEARNING_RATE = {"adamw": 3e-3, "sgd": 0.05}
SHARE_WITHOUT_BATCH_NORM = (
    1 / 3
)  # SqueezeNet has none: at the full rate its ReLUs die within the first epochs
DEFAULT_WEIGHT_DECAY = {"adamw": 0.02, "sgd": 5e-4}
# Where no number of epochs is given: small sets are seen more often than large ones.
DEFAULT_STEPS = 1200
DEFAULT_EPOCHS = (3, 20)
SMALL_IMAGE_SIDE = 64  # up to this size networks get the stem that halves the image once less

# They change how fast or where a run goes, not what comes out of it.
WITHOUT_EFFECT = ("checkpoint_every_s", "threads", "data_root")


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to train, on what, and how. Raises UsageError for a value that cannot be.

    `learning_rate` (the schedule's peak) and `weight_decay`: None means the optimizer's default here.
    `epochs`: None means 3 to 20, the fewer the more images there are.
    `batch_size` is per device. `limit_train`: so many training images, the same share of every class.
    `activation_parameters`: trained "as_defined"; or all that can be trained "fixed", one a "layer", or one a
    "channel". `accelerator`, `devices`, `strategy` are Lightning's. `threads`: None leaves torch's choice.
    `checkpoint_every_s`: seconds between resume points; 0 means after every step.
    """

    model: str = "mobilenet_v2"
    width: float = 1.0
    activation: str = "tanhexp"
    activation_parameters: str = "as_defined"
    data: str = "digits"
    data_root: str | None = None
    image_size: int | None = None
    limit_train: int | None = None
    epochs: int | None = None
    batch_size: int = 128
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    augment: bool = True
    precision: str = "32"
    seed: int = 0
    accelerator: str = "auto"
    devices: int | str = "auto"
    strategy: str = "auto"
    threads: int | None = None
    checkpoint_every_s: float = 20.0

    def __post_init__(self) -> None:
        check_name(self.optimizer, OPTIMIZERS, "optimizer")
        check_name(self.schedule, SCHEDULES, "schedule")
        check_name(self.precision, PRECISIONS, "precision")
        check_name(self.activation_parameters, PARAMETER_TRAINING, "activation_parameters")
        _check("batch_size", self.batch_size, 2, 1_000_000, whole=True)  # batch norm needs two
        for name in ("epochs", "image_size", "limit_train", "threads"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), 1, 1_000_000_000, whole=True)
        _check("seed", self.seed, 0, 2**63 - 1, whole=True)
        _check("width", self.width, 1e-3, 100)
        _check("momentum", self.momentum, 0, 0.9999)
        _check("label_smoothing", self.label_smoothing, 0, 0.9)
        _check("checkpoint_every_s", self.checkpoint_every_s, 0, 1e9)
        if self.learning_rate is not None:
            _check("learning_rate", self.learning_rate, 1e-12, 1e3)
        if self.weight_decay is not None:
            _check("weight_decay", self.weight_decay, 0, 100)

    @property
    def epoch_count(self) -> int:
        """How many epochs; UsageError while that is left to the number of images (see `for_images`)."""
        if self.epochs is None:
            raise UsageError("epochs is not set: give a number, or the number of training images")
        return self.epochs

    def for_images(self, count: int) -> "TrainSettings":
        """The same with `epochs` set, if it is not: about DEFAULT_STEPS steps, within DEFAULT_EPOCHS."""
        if self.epochs is not None:
            return self
        fewest, most = DEFAULT_EPOCHS
        steps = max(1, count // self.batch_size)
        return msgspec.structs.replace(self, epochs=min(most, max(fewest, round(DEFAULT_STEPS / steps))))

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate that the schedule multiplies."""
        if self.learning_rate is not None:
            return self.learning_rate
        share = SHARE_WITHOUT_BATCH_NORM if self.model.startswith("squeezenet") else 1.0
        return share * DEFAULT_LEARNING_RATE[self.optimizer]

    def resolved(self) -> "TrainSettings":
        """The same settings with every default that depends on another setting written out."""
        decay = DEFAULT_WEIGHT_DECAY[self.optimizer] if self.weight_decay is None else self.weight_decay
        return msgspec.structs.replace(self, learning_rate=self.peak_learning_rate, weight_decay=decay)

    def as_record(self) -> dict[str, str | int | float | bool | None]:
        """Name -> value, as it goes into the TrainingRecord."""
        return dict(msgspec.structs.asdict(self.resolved()))

    def deciding(self) -> dict[str, Any]:
        """The values that decide the result: a resume point is valid for the same ones only."""
        return {name: value for name, value in self.as_record().items() if name not in WITHOUT_EFFECT}


def _check(name: str, value: float, low: float, high: float, *, whole: bool = False) -> None:
    kind = "a whole number" if whole else "a number"
    right_kind = isinstance(value, int) if whole else isinstance(value, int | float)
    if isinstance(value, bool) or not right_kind or not math.isfinite(value) or not low <= value <= high:
        raise UsageError(f"{name}={value!r}: give {kind} from {low:g} to {high:g}")
