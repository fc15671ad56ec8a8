"""Resume points: a run's state, every few seconds, in one file that is whole and of this run, or not used."""

import hashlib
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytorch_lightning as lightning
import torch

from edgeacts.data.dataset import ImageDataset, Split
from edgeacts.errors import DamagedFile, EdgeactsError
from edgeacts.training.classifier import TOTALS
from edgeacts.training.sealed import load_sealed
from edgeacts.training.settings import TrainSettings
from edgeacts.training.signals import Interrupted, Signals

RESUME_FILE = "resume.ckpt"
RUN = "edgeacts_run"
NEEDED = ("state_dict", "loops", "optimizer_states", "lr_schedulers", TOTALS, RUN)


class ResumePoints(lightning.Callback):
    """Writes `path` when `every_s` seconds have passed, at a signal, and at the end of the last epoch.

    Never after an epoch's last step but only behind its validation: Lightning would go on without validating.
    """

    def __init__(self, path: Path, fingerprint: str, every_s: float, signals: Signals) -> None:
        self.path, self.fingerprint, self.every_s, self.signals = path, fingerprint, every_s, signals
        self.written = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """After each step."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._write_if(trainer, due=self._due(trainer) or self.signals.received is not None)
        self._stop_if_told()

    def on_validation_batch_end(self, *_: Any) -> None:
        """A validation that is interrupted is done again, with the last steps before it."""
        self._stop_if_told()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """After each epoch."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        self._write_if(trainer, due=last or self._due(trainer))
        self._stop_if_told()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Name the run that the state belongs to."""
        checkpoint[RUN] = self.fingerprint

    def _due(self, trainer: lightning.Trainer) -> bool:
        due = time.monotonic() - self.written >= self.every_s
        return (
            trainer.strategy.broadcast(due) if trainer.world_size > 1 else due
        )  # clocks differ, all must agree

    def _write_if(self, trainer: lightning.Trainer, *, due: bool) -> None:
        if due:
            trainer.save_checkpoint(self.path)  # every device takes part, the first one writes
            self.written = time.monotonic()

    def _stop_if_told(self) -> None:
        if self.signals.received is not None:
            raise Interrupted(self.signals.received)


def fingerprint_of(settings: TrainSettings, dataset: ImageDataset, start: Mapping[str, Any]) -> str:
    """SHA-256 over what decides a run's result: settings, images, torch, and `start`, what it begins with."""
    content = {
        "settings": settings.deciding(),
        **start,
        "data": [_split_hash(split) for split in (dataset.train, dataset.validation)],
        "classes": dataset.classes,
        "preprocessing": dataset.preprocessing,
        "augmentation": dataset.augmentation,
        "versions": [str(torch.__version__), metadata.version("pytorch-lightning")],
    }
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def _split_hash(split: Split) -> str:
    """Over all labels and at most some 4,096 of the images: another data set is noticed, at no cost."""
    some = split.images[:: max(1, len(split) // 4096)]
    return hashlib.sha256(split.labels.tobytes() + np.ascontiguousarray(some).tobytes()).hexdigest()


def usable(path: Path, fingerprint: str) -> tuple[Path | None, str | None]:
    """(`path`, None) if it holds a state of this run, else (None, why not), or (None, None): no file."""
    if not path.exists():
        return None, None
    try:
        state = load_sealed(path)
        lacking = [key for key in NEEDED if key not in state]
        if lacking:
            raise DamagedFile(f"it lacks {', '.join(lacking)}")
    except EdgeactsError as error:
        return None, f"the resume point cannot be used and training starts anew: {error}"
    if state[RUN] != fingerprint:
        return (
            None,
            f"{path} is of a run with other settings, data or versions: training starts anew",
        )
    return path, None
