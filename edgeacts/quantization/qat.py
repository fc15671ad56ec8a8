"""Quantization-aware fine-tuning of an INT8 file: `fine_tune(model, dataset, out, reference=float_model)`.

The file is trained as it computes (`qat_twin`): weights and activations on its own grids, gradients straight through the rounding
(torch's fake quantization), scales of activations as calibrated, those of weights following the weights. What comes out is the
same file with other weights. Batch norms are inside the convolutions already, so there are no statistics to disturb.
"""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edgeacts.circumstances import circumstances
from edgeacts.data.dataset import ImageDataset, Split
from edgeacts.definition import Activation
from edgeacts.errors import CheckFailed, UsageError
from edgeacts.preprocessing import Preprocessing
from edgeacts.quantization.deployed import BATCH, open_model, scores
from edgeacts.quantization.paired import compare, right_answers
from edgeacts.quantization.qat_twin import QuantizedTwin
from edgeacts.quantization.qat_writing import Parity, compare_with_file, write_float, write_weights
from edgeacts.records import Epoch, PairedDrop, QatRecord, Record
from edgeacts.training.batches import Batches
from edgeacts.training.classifier import Classifier
from edgeacts.training.resume import RESUME_FILE, fingerprint_of
from edgeacts.training.run import check_dataset, fit, say_epoch
from edgeacts.training.settings import TrainSettings
from edgeacts.training.surroundings import quiet, reproducible

PARITY_IMAGES = 32


class QatSettings(Record, frozen=True):
    """How to fine-tune: AdamW without weight decay, the learning rate falling by a half cosine.

    `learning_rate` is a tenth of what training from scratch begins with. `threads` and `checkpoint_every_s` as in
    TrainSettings, which checks the values (UsageError).
    """

    epochs: int = 1
    learning_rate: float = 3e-4
    batch_size: int = 64
    augment: bool = True
    seed: int = 0
    threads: int | None = None
    checkpoint_every_s: float = 20.0

    def training(self, data: str) -> TrainSettings:
        """The same for the trainer. Raises UsageError for a value that cannot be."""
        return TrainSettings(
            model="int8", activation="as in the file", data=data, epochs=self.epochs, batch_size=self.batch_size,
            optimizer="adamw", schedule="cosine", learning_rate=self.learning_rate, weight_decay=0.0,
            augment=self.augment, seed=self.seed, accelerator="cpu", devices=1, threads=self.threads,
            checkpoint_every_s=self.checkpoint_every_s,
        )  # fmt: skip


@dataclass(frozen=True)
class QatResult:
    """The fine-tuned file, or the one from before where that is better, and the record.

    `trained_float` is the float model with the trained weights, where the file is the fine-tuned one and `prepared` was given.
    """

    model: onnx.ModelProto
    record: QatRecord
    trained_float: onnx.ModelProto | None = None


def fine_tune(
    model: onnx.ModelProto,
    dataset: ImageDataset,
    out: Path,
    settings: QatSettings | None = None,
    *,
    reference: onnx.ModelProto,
    prepared: onnx.ModelProto | None = None,
    activation: Activation | None = None,
    progress: bool | None = None,
) -> QatResult:
    """Fine-tune the INT8 `model` on the training split, judge it on validation, and report the drop from `reference` on test.

    `prepared` is the float model with the layers' names of the file: training starts from its weights (else from the file's,
    which are rounded). OUT/resume.ckpt holds the state while it runs: called again after a kill, it goes on from there to the
    same result. Of the file from before and after, the better one on the validation images is kept. `activation` and
    `progress` are as in `edgeacts.train`. Raises UsageError (a model or data that cannot be trained), CheckFailed (the
    written file does not compute what was trained), EdgeactsError (the loss is not finite); KeyboardInterrupt after Ctrl-C.
    """
    settings = settings or QatSettings()
    begin = time.perf_counter()
    training = settings.training(dataset.name)
    check_dataset(dataset)
    twin = QuantizedTwin(model, activation=activation)
    _check_shape(twin, dataset.preprocessing, len(dataset.classes))
    taken = 0 if prepared is None else twin.start_from(prepared)
    epochs = _train(twin, model, dataset, training, Path(out), progress)
    tuned = write_weights(twin, model)
    parity = _checked(twin, tuned, dataset)
    kept = _right(tuned, dataset, dataset.validation).sum() > _right(model, dataset, dataset.validation).sum()
    wanted = _right(reference, dataset, dataset.test)
    before = compare(wanted, _right(model, dataset, dataset.test))
    after = compare(wanted, _right(tuned, dataset, dataset.test))
    record = QatRecord(
        data=dataset.name,
        settings={k: v for k, v in training.as_record().items() if k not in ("model", "activation")},
        epochs=epochs,
        before_sha256=_sha256(model),
        after_sha256=_sha256(tuned),
        before=before,
        after=after,
        kept=bool(kept),
        weights=sum(row.site is not None for row in twin.trained.values()),
        from_float=taken,
        values=parity.values,
        one_step=parity.one_step,
        more=parity.more,
        output_error=parity.output_error,
        summary=_summary(before, after, kept=bool(kept), epochs=len(epochs)),
        seconds=time.perf_counter() - begin,
        circumstances=circumstances(),
    )
    if not kept:
        return QatResult(model, record)
    return QatResult(tuned, record, None if prepared is None else write_float(twin, prepared))


def _train(
    twin: QuantizedTwin,
    model: onnx.ModelProto,
    dataset: ImageDataset,
    settings: TrainSettings,
    out: Path,
    progress: bool | None,
) -> tuple[Epoch, ...]:
    out.mkdir(parents=True, exist_ok=True)
    bar = sys.stderr.isatty() if progress is None else progress
    policy = dataset.augmentation if settings.augment else None
    shape = dataset.preprocessing
    batches = Batches(
        dataset.train, shape, batch_size=settings.batch_size, seed=settings.seed, augmentation=policy
    )
    validation = Batches(dataset.validation, shape, batch_size=settings.batch_size)
    report = partial(say_epoch, epochs=settings.epoch_count, lines=progress is None and not bar)
    fingerprint = fingerprint_of(settings, dataset, {"int8": _sha256(model)})
    with quiet(), reproducible(settings.threads):
        classifier = Classifier(twin, batches, validation, settings, report)
        fit(classifier, settings, fingerprint, out / RESUME_FILE, bar=bar)
    (out / RESUME_FILE).unlink(missing_ok=True)
    twin.eval()
    return classifier.epochs()


def _check_shape(twin: QuantizedTwin, shape: Preprocessing, classes: int) -> None:
    """The model takes the data's images and answers with its classes; torch's complaints do not say whose the shapes are."""
    images = torch.zeros(2, shape.channels, shape.height, shape.width)
    try:
        with torch.inference_mode():
            found = list(twin(images).shape)
    except (RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"the model does not run on this data set's images, {list(images.shape)}: {reason}"
        ) from error
    if found != [2, classes]:
        raise UsageError(
            f"the model's output for 2 images is {found}, the data set's {classes} classes need {[2, classes]}"
        )


def _checked(twin: QuantizedTwin, tuned: onnx.ModelProto, dataset: ImageDataset) -> Parity:
    images = dataset.preprocessing.normalize(dataset.validation.images[:PARITY_IMAGES])
    parity = compare_with_file(twin, tuned, images)
    if not parity.holds:
        raise CheckFailed(f"the written file does not compute what was trained: {parity}")
    return parity


def _right(model: onnx.ModelProto, dataset: ImageDataset, split: Split) -> NDArray[np.bool_]:
    """Right answers of a model as it is deployed, images normalized a batch at a time."""
    session = open_model(model)
    parts = [
        scores(session, dataset.preprocessing.normalize(split.images[start : start + BATCH]))
        for start in range(0, len(split), BATCH)
    ]
    return right_answers(np.concatenate(parts), split.labels)


def _summary(before: PairedDrop, after: PairedDrop, *, kept: bool, epochs: int) -> str:
    text = f"{before} before, {after} after {epochs} epoch{'' if epochs == 1 else 's'} of fine-tuning"
    return text if kept else f"{text}; no better on the validation images, so the file from before is kept"


def _sha256(model: onnx.ModelProto) -> str:
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
