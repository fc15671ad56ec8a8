"""The LightningModule: what one step does, which weights decay, what is counted, what a state holds."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from edgeacts.errors import EdgeactsError
from edgeacts.records import Epoch
from edgeacts.training.batches import STEP, Batches, derived_seed
from edgeacts.training.schedules import FACTORS
from edgeacts.training.settings import TrainSettings

TOTALS = "edgeacts_epoch_totals"
DECAYING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Steps:
    """Step numbers 0 .. count-1. What a step trains on follows from its number, so there is no state to keep.

    `state_dict` and `load_state_dict` tell Lightning that an epoch may be entered in its middle.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))

    def state_dict(self) -> dict[str, int]:
        """Nothing but the count, which must be the same again."""
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore."""


class Row(NamedTuple):
    """One line of the history buffer: sums and counts of an epoch."""

    train_loss: float
    train_correct: float
    train_count: float
    validation_loss: float
    validation_correct: float
    validation_count: float
    seconds: float


class Classifier(lightning.LightningModule):
    """Cross entropy over `model`'s logits. `history` is a buffer, so it travels wherever the weights do."""

    history: Tensor

    def __init__(
        self,
        model: nn.Module,
        training: Batches,
        validation: Batches,
        settings: TrainSettings,
        report: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        super().__init__()
        self.model = model
        self.training_data, self.validation_data = training, validation
        self.settings = settings.resolved()
        self.report = report
        self.register_buffer("history", torch.zeros(settings.epoch_count, len(Row._fields)))
        self.totals = torch.zeros(3)
        self.validation_totals = torch.zeros(3)
        self.seconds_before = 0.0
        self.epoch_began = 0.0

    # ---- data

    def setup(self, stage: str) -> None:
        """Put the images on the device."""
        trainer = self.trainer
        for data in (self.training_data, self.validation_data):
            data.place(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)

    def train_dataloader(self) -> Steps:
        """Step numbers of one epoch."""
        return Steps(self.training_data.training_steps())

    def val_dataloader(self) -> Steps:
        """Numbers of the validation batches."""
        return Steps(self.validation_data.evaluation_steps())

    # ---- training

    def on_train_start(self) -> None:
        """Begin, or go on within an epoch."""
        self.epoch_began = time.monotonic()
        self.totals = self.totals.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Count from 0; not called when an epoch is entered in its middle."""
        self.epoch_began, self.seconds_before = time.monotonic(), 0.0
        self.totals = torch.zeros(3, device=self.device)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """The loss of step `batch_idx`. Raises EdgeactsError when it is not finite."""
        torch.manual_seed(
            derived_seed(self.settings.seed, STEP, self.current_epoch, batch_idx, self.global_rank)
        )
        images, labels = self.training_data.training(self.current_epoch, batch_idx)
        logits = self.model(images).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
        if not bool(torch.isfinite(loss)):
            raise EdgeactsError(self._diverged(batch_idx))
        self.totals += _sums(loss.detach(), logits.detach(), labels)
        return loss

    def _diverged(self, batch_idx: int) -> str:
        s = self.settings
        return (
            f"the loss is not finite in epoch {self.current_epoch + 1}, step {batch_idx + 1}, at learning "
            f"rate {self._learning_rate():.3g} with activation {s.activation} in precision {s.precision}: "
            f"give a learning rate below {s.peak_learning_rate:g}, or precision 32"
        )

    def _learning_rate(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    # ---- validation

    def on_validation_epoch_start(self) -> None:
        """Count from 0."""
        self.validation_totals = torch.zeros(3, device=self.device)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Count; the loss is the plain cross entropy, without label smoothing."""
        images, labels = self.validation_data.evaluation(batch_idx)
        if len(labels):
            logits = self.model(images).float()
            self.validation_totals += _sums(F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Write the epoch's row of the history. Lightning validates after an epoch's last step."""
        train, validation = self._over_devices(self.totals), self._over_devices(self.validation_totals)
        row = torch.cat((train, validation, torch.full((1,), self._seconds(), device=self.device)))
        self.history[self.current_epoch] = row
        if self.trainer.is_global_zero:
            self.report(self.epochs()[self.current_epoch])

    def _over_devices(self, totals: Tensor) -> Tensor:
        summed: Tensor = self.trainer.strategy.reduce(totals.clone(), reduce_op="sum")
        return summed

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.epoch_began

    def epochs(self) -> tuple[Epoch, ...]:
        """The epochs that are complete. `learning_rate` is that of an epoch's last step."""
        steps = self.training_data.training_steps()
        factor, peak = FACTORS[self.settings.schedule], self.settings.peak_learning_rate
        rows = [Row(*line) for line in self.history.tolist()]
        return tuple(
            Epoch(
                epoch=number,
                train_loss=row.train_loss / row.train_count,
                train_accuracy=row.train_correct / row.train_count,
                validation_loss=row.validation_loss / row.validation_count,
                validation_accuracy=row.validation_correct / row.validation_count,
                learning_rate=peak * factor(number * steps - 1, self.settings.epoch_count * steps),
                seconds=row.seconds,
            )
            for number, row in enumerate(rows, 1)
            if row.train_count
        )

    # ---- optimizer

    def configure_optimizers(self) -> Any:
        """The optimizer, and the schedule stepped after each of its steps."""
        s = self.settings
        groups = parameter_groups(self.model, s.weight_decay or 0.0)
        fused = self.device.type in {"cpu", "cuda"}
        optimizer: torch.optim.Optimizer
        if s.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=s.peak_learning_rate, momentum=s.momentum, fused=fused)
        else:
            optimizer = torch.optim.AdamW(groups, lr=s.peak_learning_rate, fused=fused)
        steps, factor = s.epoch_count * self.training_data.training_steps(), FACTORS[s.schedule]
        schedule = LambdaLR(optimizer, lambda step: factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # ---- resume points

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums of the epoch begun; called on every device."""
        checkpoint[TOTALS] = {"sums": self._over_devices(self.totals).cpu(), "seconds": self._seconds()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the sums back; one device has them all, the others count from 0."""
        saved = checkpoint[TOTALS]
        self.totals = saved["sums"] if self.global_rank == 0 else torch.zeros(3)
        self.seconds_before = saved["seconds"]


def _sums(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """[loss · B, right answers, B]."""
    correct = (logits.argmax(1) == labels).sum()
    count = torch.tensor(len(labels), device=loss.device)
    return torch.stack((loss * count, correct.to(loss.dtype), count.to(loss.dtype)))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions and linear layers decay; norms, biases and activation parameters do not."""
    decaying = {id(m.weight) for m in model.modules() if isinstance(m, DECAYING)}
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups[id(parameter) not in decaying].append(parameter)
    pairs = zip(groups, (weight_decay, 0.0), strict=True)
    return [{"params": parameters, "weight_decay": decay} for parameters, decay in pairs if parameters]
