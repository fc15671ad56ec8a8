"""`train(TrainSettings(model="shufflenet_v2", activation="nish"), Path("out"))`: training, by Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeacts.training.settings import TrainSettings

if TYPE_CHECKING:
    from edgeacts.data.dataset import ImageDataset
    from edgeacts.definition import Activation
    from edgeacts.records import TrainingRecord

__all__ = ["TrainSettings", "train"]


def train(
    settings: TrainSettings,
    out: Path,
    *,
    dataset: ImageDataset | None = None,
    activation: Activation | None = None,
    progress: bool | None = None,
) -> TrainingRecord:
    """Write OUT/checkpoint.safetensors, checkpoint.json and, last, training.json, whose content is returned.

    The weights are those of the last epoch; the test split is looked at once. The same settings (and
    threads) give the same weights. While it runs, OUT/resume.ckpt holds its state: called again with the same
    settings after a kill, it goes on from there, to the same result.
    `dataset` is used instead of loading `settings.data`, `activation` instead of the catalogue's. `progress`:
    True shows a bar, False nothing, None a bar on a terminal and else a line an epoch (on stderr).
    `out` must not be used by two runs at once.

    Raises UsageError for values that cannot be, EdgeactsError when the loss is no longer finite or the disk
    refuses; KeyboardInterrupt after Ctrl-C, when the step in hand is done and the resume point written.
    """
    from edgeacts.training.run import run  # torch and Lightning take seconds to import

    return run(settings, Path(out), dataset=dataset, activation=activation, progress=progress)
