"""The end of a run: test accuracy, checkpoint, record. The record is written last: where it is, all is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edgeacts.checkpoint import CheckpointSpec, save_checkpoint
from edgeacts.circumstances import circumstances
from edgeacts.data.dataset import ImageDataset
from edgeacts.definition import Activation, Trainable
from edgeacts.files import sha256_file
from edgeacts.modules import ActivationModule, activation_factory
from edgeacts.records import TrainingRecord
from edgeacts.shares import wilson_interval
from edgeacts.training.classifier import Classifier
from edgeacts.training.evaluation import evaluate
from edgeacts.training.settings import SMALL_IMAGE_SIDE, TrainSettings

CHECKPOINT_NAME = "checkpoint"
RECORD_FILE = "training.json"


@dataclass(frozen=True, eq=False)
class Run:
    """What is trained on what: settings, definition, data, all checked and as they will be used."""

    settings: TrainSettings
    activation: Activation
    dataset: ImageDataset


def trainable_modes(activation: Activation, choice: str) -> dict[str, Trainable]:
    """Parameter -> how it is trained. `choice` applies to those that the definition allows to be trained."""
    changed: dict[str, Trainable] = {"fixed": None, "layer": "layer", "channel": "channel"}
    return {
        p.name: changed[choice] if p.trainable is not None and choice in changed else p.trainable
        for p in activation.parameters
    }


def make_factory(run: Run) -> Callable[[int], nn.Module]:
    """Channels -> a fresh activation module, its parameters trained as the settings say."""
    return activation_factory(
        run.activation, trainable=trainable_modes(run.activation, run.settings.activation_parameters)
    )


def trained_values(model: nn.Module) -> dict[str, list[float]]:
    """`place.parameter` -> its value, or its value in each channel, for all parameters that were trained."""
    return {
        f"{place}.{name}": values
        for place, module in model.named_modules()
        if isinstance(module, ActivationModule)
        for name, values in module.frozen_values().items()
        if name in module.trained
    }


def finish(classifier: Classifier, run: Run, out: Path, device: torch.device) -> TrainingRecord:
    """Judge the weights of the last epoch on the test split, once, and write checkpoint and record."""
    model, data, settings = classifier.model, run.dataset, run.settings
    correct, total = evaluate(model.to(device), data.test, data.preprocessing)
    model.cpu()
    seen, epochs = circumstances(), classifier.epochs()
    spec = CheckpointSpec(
        model=settings.model,
        width=settings.width,
        num_classes=len(data.classes),
        in_channels=data.preprocessing.channels,
        small_images=max(data.preprocessing.height, data.preprocessing.width) <= SMALL_IMAGE_SIDE,
        activation=run.activation.name,
        activation_formula=str(run.activation.formula),
        activation_parameters=run.activation.values(),
        activation_trainable=trainable_modes(run.activation, settings.activation_parameters),
        classes=data.classes,
        preprocessing=data.preprocessing,
        data=data.name,
        metrics={
            "test_accuracy": correct / total,
            "test_correct": correct,
            "test_total": total,
            "validation_accuracy": epochs[-1].validation_accuracy,
            "validation_loss": epochs[-1].validation_loss,
            "epochs": settings.epoch_count,
        },
        versions=seen.versions,
    )
    weights = save_checkpoint(out / CHECKPOINT_NAME, model, spec)
    record = TrainingRecord(
        model=settings.model,
        width=settings.width,
        activation=run.activation.name,
        activation_parameters=trained_values(model),
        data=data.name,
        data_source=data.source,
        classes=data.classes,
        seed=settings.seed,
        epochs=epochs,
        test_correct=correct,
        test_total=total,
        test_accuracy=correct / total,
        test_interval=wilson_interval(correct, total),
        parameter_count=sum(p.numel() for p in model.parameters()),
        seconds=sum(epoch.seconds for epoch in epochs),
        settings=settings.as_record(),
        checkpoint=weights.name,
        checkpoint_sha256=sha256_file(weights),
        circumstances=seen,
    )
    record.write(out / RECORD_FILE)
    return record
