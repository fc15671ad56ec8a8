import msgspec
import pytest

from edgeacts.errors import UsageError
from edgeacts.training import TrainSettings


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"optimizer": "adam"}, "unknown optimizer 'adam': did you mean adamw? valid: adamw, sgd"),
        ({"schedule": "linear"}, "valid: cosine, onecycle, constant"),
        ({"precision": "16"}, "valid: 32, bf16-mixed, 16-mixed"),
        ({"activation_parameters": "all"}, "valid: as_defined, fixed, layer, channel"),
        ({"epochs": 0}, "epochs=0: give a whole number from 1"),
        ({"epochs": 1.5}, "epochs=1.5: give a whole number"),
        ({"epochs": True}, "epochs=True"),
        ({"batch_size": 1}, "batch_size=1: give a whole number from 2"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan: give a number"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0: give a number from 0 to 0.9"),
        ({"seed": -1}, "seed=-1"),
        ({"threads": 0}, "threads=0"),
        ({"limit_train": 0}, "limit_train=0"),
        ({"checkpoint_every_s": -1.0}, "checkpoint_every_s=-1.0"),
        ({"width": float("inf")}, "width=inf"),
    ],
)
def test_bad_values_are_named(changes: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainSettings(**changes)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("optimizer", "rate", "decay"), [("adamw", 3e-3, 0.02), ("sgd", 0.05, 5e-4)])
def test_defaults_that_depend_on_the_optimizer_are_written_out(
    optimizer: str, rate: float, decay: float
) -> None:
    record = TrainSettings(optimizer=optimizer).as_record()
    assert (record["learning_rate"], record["weight_decay"]) == (rate, decay)
    given = TrainSettings(optimizer=optimizer, learning_rate=0.5, weight_decay=0.0).as_record()
    assert (given["learning_rate"], given["weight_decay"]) == (0.5, 0.0)


def test_a_network_without_batch_norm_begins_gently() -> None:
    assert TrainSettings(model="squeezenet1_1").peak_learning_rate == pytest.approx(1e-3)
    assert TrainSettings(model="squeezenet1_1", learning_rate=0.2).peak_learning_rate == 0.2


def test_what_does_not_change_the_result_does_not_decide() -> None:
    a = TrainSettings(checkpoint_every_s=1, threads=1, data_root="x").deciding()
    assert a == TrainSettings(checkpoint_every_s=9, threads=2).deciding()
    assert a != TrainSettings(seed=1).deciding()


def test_settings_survive_json() -> None:
    settings = TrainSettings(model="squeezenet1_1", devices=2, learning_rate=0.1)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=TrainSettings) == settings


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"), [(1079, 128, 20), (54000, 128, 3), (54000, 512, 11), (10, 128, 20)]
)
def test_epochs_where_none_are_given(images: int, batch_size: int, epochs: int) -> None:
    settings = TrainSettings(batch_size=batch_size)
    with pytest.raises(UsageError, match="epochs is not set"):
        assert settings.epoch_count
    assert settings.for_images(images).epoch_count == epochs
    assert TrainSettings(epochs=7).for_images(images).epoch_count == 7
