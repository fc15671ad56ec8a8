"""What cannot be trained is refused with the reason and the cure."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.data import ImageDataset, Split
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.training import TrainSettings, train

Make = Callable[..., TrainSettings]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "mobilenet"}, "unknown model 'mobilenet': did you mean mobilenet_v2"),
        ({"activation": "mich"}, "unknown activation 'mich': did you mean mish"),
        ({"accelerator": "gpux"}, "accelerator='gpux'"),
        ({"strategy": "ddpx"}, "strategy='ddpx'"),
        (
            {"precision": "16-mixed"},
            "16-mixed needs an accelerator, and this runs on the CPU: use bf16-mixed",
        ),
        ({"limit_train": 2}, "at least one image of each"),
        ({"width": 77.0, "model": "mobilenet_v2"}, "mobilenet_v2 has no width 77"),
    ],
)
def test_what_cannot_be_is_refused(
    changes: dict[str, Any], text: str, dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train(settings(**changes), tmp_path / "out", dataset=dataset, progress=False)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_too_small_for_the_model_are_refused(
    dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    def cut(split: Split) -> Split:
        return replace(split, images=split.images[:, :6, :6])

    shape = msgspec.structs.replace(dataset.preprocessing, height=6, width=6)
    small = replace(
        dataset,
        train=cut(dataset.train),
        validation=cut(dataset.validation),
        test=cut(dataset.test),
        preprocessing=shape,
    )
    with pytest.raises(
        UsageError, match=r"squeezenet1_1 needs images of at least \d+ x \d+ pixels, bars has 6 x 6"
    ):
        train(settings(model="squeezenet1_1"), tmp_path, dataset=small, progress=False)


def test_unknown_data_is_refused(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown data set 'digit': did you mean digits"):
        train(settings(data="digit"), tmp_path, progress=False)


@pytest.fixture
def odd(dataset: ImageDataset) -> Callable[[str], ImageDataset]:
    labels = dataset.train.labels
    return lambda kind: {
        "one class": replace(dataset, classes=("all",)),
        "wrong label": replace(dataset, validation=replace(dataset.train, labels=labels + 1)),
        "empty": replace(dataset, test=dataset.test.take([])),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("one class", "bars has 1 class: at least two are needed"),
        ("wrong label", "the validation split has labels from 1 to 3, its 3 classes allow 0 to 2"),
        ("empty", "the test split has 0 images"),
    ],
)
def test_data_that_cannot_be_learned_is_refused(
    kind: str, text: str, odd: Callable[[str], ImageDataset], settings: Make, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train(settings(), tmp_path, dataset=odd(kind), progress=False)
    assert text in str(caught.value)


def test_a_loss_that_explodes_names_place_and_cure(
    dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    (tmp_path / "training.json").write_text("of an earlier run")
    asked = settings(optimizer="sgd", schedule="constant", learning_rate=1000.0, epochs=30, activation="mish")
    with pytest.raises(EdgeactsError) as caught:
        train(asked, tmp_path, dataset=dataset, progress=False)
    text = str(caught.value)
    assert "the loss is not finite in epoch" in text
    assert "at learning rate 1e+03 with activation mish" in text
    assert "give a learning rate below 1000" in text
    assert not (tmp_path / "training.json").exists(), "a record says that all is done"
