"""Records of training."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record


class Epoch(Record, frozen=True):
    """One epoch's means; accuracies from 0 to 1, `seconds` of wall time."""

    epoch: int
    train_loss: float | None
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float
    learning_rate: float
    seconds: float


class TrainingRecord(Record, frozen=True, tag_field="kind", tag="training"):
    """What a training run did and reached. `test_interval` is the Wilson 95 % interval of the accuracy."""

    model: str
    width: float
    activation: str
    activation_parameters: dict[str, list[float]]
    data: str
    data_source: str
    classes: tuple[str, ...]
    seed: int
    epochs: tuple[Epoch, ...]
    test_correct: int
    test_total: int
    test_accuracy: float
    test_interval: tuple[float, float]
    parameter_count: int
    seconds: float
    settings: dict[str, str | int | float | bool | None]
    checkpoint: str
    checkpoint_sha256: str
    circumstances: Circumstances
    version: int = 1
