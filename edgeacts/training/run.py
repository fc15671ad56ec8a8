"""settings -> OUT/checkpoint.safetensors, OUT/checkpoint.json, OUT/training.json; resumable at any moment."""

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytorch_lightning as lightning
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from edgeacts.activations import activation as catalogue_activation
from edgeacts.data import limit, load_dataset
from edgeacts.data.dataset import ImageDataset
from edgeacts.definition import Activation
from edgeacts.errors import UsageError
from edgeacts.models import build_model, model_names
from edgeacts.names import check_name
from edgeacts.records import Epoch, TrainingRecord
from edgeacts.training.batches import Batches, derived_seed
from edgeacts.training.classifier import Classifier
from edgeacts.training.finish import RECORD_FILE, Run, finish, make_factory
from edgeacts.training.progress import Bar, epoch_line, say
from edgeacts.training.resume import RESUME_FILE, ResumePoints, fingerprint_of, usable
from edgeacts.training.sealed import SealedIO
from edgeacts.training.settings import SMALL_IMAGE_SIDE, TrainSettings
from edgeacts.training.signals import Interrupted, Signals
from edgeacts.training.surroundings import quiet, reproducible

WEIGHTS = 3  # what this seed is for; batches.py has the other streams


def run(
    settings: TrainSettings,
    out: Path,
    *,
    dataset: ImageDataset | None = None,
    activation: Activation | None = None,
    progress: bool | None = None,
) -> TrainingRecord:
    """See `edgeacts.training.train`."""
    prepared = _prepare(settings, dataset, activation)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(f".{Path(RESUME_FILE).stem}.*"):  # of a run killed while it wrote
        leftover.unlink(missing_ok=True)
    (out / RECORD_FILE).unlink(missing_ok=True)
    bar = sys.stderr.isatty() if progress is None else progress
    with quiet(), reproducible(prepared.settings.threads):
        report = partial(say_epoch, epochs=prepared.settings.epoch_count, lines=progress is None and not bar)
        classifier = _classifier(prepared, report)
        start = {"formula": str(prepared.activation.formula), "parameters": prepared.activation.values()}
        fingerprint = fingerprint_of(prepared.settings, prepared.dataset, start)
        trainer = fit(classifier, prepared.settings, fingerprint, out / RESUME_FILE, bar=bar)
        record = None
        if trainer.is_global_zero:
            record = finish(classifier, prepared, out, trainer.strategy.root_device)
            (out / RESUME_FILE).unlink(missing_ok=True)
        trainer.strategy.barrier("edgeacts training record")
    return record or TrainingRecord.read(out / RECORD_FILE)


def _prepare(settings: TrainSettings, dataset: ImageDataset | None, activation: Activation | None) -> Run:
    check_name(settings.model, model_names(), "model")
    definition = activation or catalogue_activation(settings.activation)
    if settings.precision == "16-mixed" and not _has_accelerator(settings):
        raise UsageError(
            "precision 16-mixed needs an accelerator, and this runs on the CPU: use bf16-mixed or 32"
        )
    if dataset is None:
        root = Path(settings.data_root) if settings.data_root else None
        dataset = load_dataset(settings.data, root, image_size=settings.image_size)
    if settings.limit_train is not None:
        dataset = limit(dataset, train=settings.limit_train, seed=settings.seed)
    if not settings.augment:
        policy = msgspec.structs.replace(dataset.augmentation, horizontal_flip=False, max_shift=0)
        dataset = replace(dataset, augmentation=policy)
    check_dataset(dataset)
    settings = msgspec.structs.replace(settings, activation=definition.name).for_images(len(dataset.train))
    return Run(settings, definition, dataset)


def _has_accelerator(settings: TrainSettings) -> bool:
    return settings.accelerator != "cpu" and (
        settings.accelerator != "auto" or torch.accelerator.is_available()
    )


def check_dataset(dataset: ImageDataset) -> None:
    """Raise UsageError for data that nothing can be learnt from."""
    if len(dataset.classes) < 2:
        raise UsageError(
            f"{dataset.name} has {len(dataset.classes)} class: at least two are needed to tell apart"
        )
    for name, split in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test)):
        if len(split) < 2:
            raise UsageError(
                f"{dataset.name}: the {name} split has {len(split)} images, at least 2 are needed"
            )
        if split.labels.min() < 0 or split.labels.max() >= len(dataset.classes):
            raise UsageError(
                f"{dataset.name}: the {name} split has labels from {split.labels.min()} to "
                f"{split.labels.max()}, its {len(dataset.classes)} classes allow 0 to "
                f"{len(dataset.classes) - 1}"
            )


def say_epoch(epoch: Epoch, epochs: int, lines: bool) -> None:
    """A line on stderr, if `lines`."""
    if lines:
        say(epoch_line(epoch, epochs))


def _classifier(prepared: Run, report: Callable[[Epoch], None]) -> Classifier:
    settings, data = prepared.settings, prepared.dataset
    shape = data.preprocessing
    torch.manual_seed(derived_seed(settings.seed, WEIGHTS))
    model = build_model(
        settings.model,
        activation=make_factory(prepared),
        width=settings.width,
        num_classes=len(data.classes),
        in_channels=shape.channels,
        small_images=max(shape.height, shape.width) <= SMALL_IMAGE_SIDE,
    )
    least = int(getattr(model, "minimum_size", 1))
    if min(shape.height, shape.width) < least:
        raise UsageError(
            f"{settings.model} needs images of at least {least} x {least} pixels, {data.name} has "
            f"{shape.height} x {shape.width}: give a larger image_size"
        )
    training = Batches(
        data.train, shape, batch_size=settings.batch_size, seed=settings.seed, augmentation=data.augmentation
    )
    validation = Batches(data.validation, shape, batch_size=settings.batch_size)
    # mypy does not know the overload of Module.to
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(model, training, validation, settings, report)


def fit(
    classifier: Classifier, settings: TrainSettings, fingerprint: str, resume_path: Path, *, bar: bool
) -> lightning.Trainer:
    """Train, from `resume_path` on where that is of the same `fingerprint`.

    After a signal the step in hand is finished, the resume point written, and KeyboardInterrupt or SystemExit raised.
    """
    signals = Signals()
    points = ResumePoints(resume_path, fingerprint, settings.checkpoint_every_s, signals)
    trainer = _trainer(settings, [points, *([Bar()] if bar else [])], bar=bar)
    start, why_not = usable(resume_path, fingerprint)
    if trainer.is_global_zero and (start or why_not):
        say(why_not or f"resuming from {resume_path}")
    try:
        with signals.caught(when=trainer.world_size == 1):
            trainer.fit(classifier, ckpt_path=start, weights_only=True)
    except Interrupted as stopped:
        if stopped.number == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + stopped.number) from None
    except SystemExit as left:  # Lightning's answer to Ctrl-C is sys.exit(1)
        if isinstance(left.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    return trainer


def _trainer(settings: TrainSettings, callbacks: list[lightning.Callback], *, bar: bool) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy=settings.strategy,
            precision="32-true" if settings.precision == "32" else settings.precision,  # type: ignore[arg-type]
            max_epochs=settings.epoch_count,
            callbacks=callbacks,
            plugins=[SealedIO()],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bar,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"accelerator={settings.accelerator!r}, devices={settings.devices!r}, "
            f"strategy={settings.strategy!r}, precision={settings.precision!r}: {reason}"
        ) from None
