"""What a person sees: Lightning's bar on a terminal, otherwise a line an epoch. Both on stderr."""

import sys
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from edgeacts.records import Epoch
from edgeacts.training.classifier import Classifier


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """`epoch 3/10  loss 0.412  train 88.1 %  validation 87.3 %  12 s`."""
    return (
        f"epoch {epoch.epoch}/{epochs}  loss {epoch.train_loss:.3f}  train {epoch.train_accuracy:.1%}  "
        f"validation {epoch.validation_accuracy:.1%}  {epoch.seconds:.1f} s"
    )


class Bar(TQDMProgressBar):
    """One bar for all steps of the run, on stderr, with the epoch and what the last one reached."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1)
        self.reached = ""

    def init_train_tqdm(self) -> Tqdm:
        """The bar over the whole run, so that its remaining time is the run's."""
        trainer = self.trainer
        steps = int(trainer.num_training_batches) * int(trainer.max_epochs or 1)
        return Tqdm(
            total=steps,
            initial=trainer.global_step,
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
            unit="step",
            disable=self.is_disabled,
        )

    def init_validation_tqdm(self) -> Tqdm:
        """Validation is short: no bar of its own."""
        return Tqdm(disable=True)

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Name the epoch."""
        self.train_progress_bar.set_description(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{self.reached}"
        )

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        """One step further."""
        self.train_progress_bar.update(1)
        if isinstance(outputs, dict) and self._should_update(
            trainer.global_step, self.train_progress_bar.total
        ):
            self.train_progress_bar.set_postfix_str(f"loss {float(outputs['loss']):.3f}", refresh=False)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Show what the epoch reached in the next one's description."""
        if isinstance(module, Classifier):
            self.reached = f", validation {module.epochs()[trainer.current_epoch].validation_accuracy:.1%}"

    def on_validation_end(self, *_: Any) -> None:
        """Nothing to close."""
