import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sympy
import torch
from scipy import stats
from torch import nn

from edgeacts.checkpoint import load_checkpoint
from edgeacts.data import Augmentation, ImageDataset
from edgeacts.definition import Activation, Parameter, X
from edgeacts.errors import UsageError
from edgeacts.models import build_model, model_names, network
from edgeacts.records import TrainingRecord
from edgeacts.shares import wilson_interval
from edgeacts.training import TrainSettings, train
from edgeacts.training.batches import Batches
from edgeacts.training.classifier import Classifier, parameter_groups
from edgeacts.training.evaluation import evaluate
from edgeacts.training.schedules import FACTORS

Make = Callable[..., TrainSettings]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Per training step: the learning rate used and the loss; the model and its batch of the last step."""
    seen: list[dict[str, Any]] = []
    step = Classifier.training_step

    def watch(self: Classifier, batch: int, batch_idx: int) -> torch.Tensor:
        loss = step(self, batch, batch_idx)
        rates = [g["lr"] for g in self.trainer.optimizers[0].param_groups]
        seen.append(
            {"rates": rates, "loss": float(loss.detach()), "module": self, "training": self.model.training}
        )
        return loss

    monkeypatch.setattr(Classifier, "training_step", watch)
    return seen


# ---- what comes out


def test_the_record_the_pair_and_nothing_else(dataset: ImageDataset, settings: Make, tmp_path: Path) -> None:
    record = train(settings(), tmp_path, dataset=dataset, progress=False)
    assert {p.name for p in tmp_path.iterdir()} == {
        "checkpoint.safetensors",
        "checkpoint.json",
        "training.json",
    }
    assert TrainingRecord.read(tmp_path / "training.json") == record
    loaded = load_checkpoint(tmp_path / record.checkpoint)
    assert loaded.sha256 == record.checkpoint_sha256
    assert evaluate(loaded.model, dataset.test, dataset.preprocessing) == (
        record.test_correct,
        record.test_total,
    )
    assert loaded.spec.metrics["test_accuracy"] == record.test_accuracy == record.test_correct / 30
    assert (loaded.spec.classes, loaded.spec.preprocessing) == (dataset.classes, dataset.preprocessing)
    assert record.parameter_count == sum(p.numel() for p in loaded.model.parameters())
    assert record.settings["learning_rate"] == 3e-3
    assert [e.epoch for e in record.epochs] == [1, 2, 3]
    assert record.test_interval[0] < record.test_accuracy < record.test_interval[1]


def test_it_learns(dataset: ImageDataset, settings: Make, tmp_path: Path) -> None:
    record = train(settings(epochs=25, learning_rate=0.02, activation="tanhexp"), tmp_path, dataset=dataset)
    assert record.test_accuracy > 0.8
    assert record.epochs[-1].train_loss < 0.7 * record.epochs[0].train_loss  # type: ignore[operator]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    def weights(seed: int, folder: str) -> str:
        torch.manual_seed(len(folder))  # whatever the caller did with torch's random state
        torch.rand(3)
        return train(
            settings(seed=seed), tmp_path / folder, dataset=dataset, progress=False
        ).checkpoint_sha256

    assert weights(0, "a") == weights(0, "bb") != weights(1, "c")


@pytest.mark.parametrize("model", [name for name in model_names() if name != "tiny"])
def test_every_model_of_the_catalogue_trains_and_loads(
    model: str, dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    big = np.zeros((16, 24, 24, 1), np.uint8)
    big[:8] = 255
    split = replace(dataset.train, images=big, labels=np.repeat(np.arange(2), 8))
    shape = msgspec.structs.replace(dataset.preprocessing, height=24, width=24)
    data = replace(dataset, train=split, validation=split, test=split, preprocessing=shape)
    width = (network(model).widths or (0.1,))[0]
    record = train(settings(model=model, width=width, epochs=1), tmp_path, dataset=data, progress=False)
    assert load_checkpoint(tmp_path / "checkpoint.json").sha256 == record.checkpoint_sha256


@pytest.mark.parametrize(
    ("choice", "shapes"), [("as_defined", {1}), ("layer", {1}), ("channel", {8}), ("fixed", set())]
)
def test_activation_parameters_are_trained_as_asked(
    choice: str, shapes: set[int], dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    asked = settings(activation="sau", activation_parameters=choice, epochs=1)
    record = train(asked, tmp_path, dataset=dataset, progress=False)
    assert {len(values) for values in record.activation_parameters.values()} == shapes
    assert set(record.activation_parameters) == ({"2.alpha", "4.alpha"} if shapes else set())
    assert all(v != 0.15 for values in record.activation_parameters.values() for v in values)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    trained = {n: p.flatten().tolist() for n, p in loaded.model.named_parameters() if n.endswith("alpha")}
    assert trained == record.activation_parameters


def test_an_activation_of_ones_own(dataset: ImageDataset, settings: Make, tmp_path: Path) -> None:
    slope = Parameter("slope", 0.3, trainable="layer")
    own = Activation(
        name="own",
        formula=X * sympy.Max(0, X) / (1 + sympy.Abs(X)) + slope.symbol * X,
        source="this test",
        parameters=(slope,),
        left=slope.symbol * X,
        right=(1 + slope.symbol) * X - 1,
        saturation=(-1e18, 1e18),
    )
    record = train(settings(epochs=1), tmp_path, dataset=dataset, activation=own, progress=False)
    assert record.activation == record.settings["activation"] == "own"
    with pytest.raises(UsageError, match=r"activation 'own'.*not in the catalogue: pass its definition"):
        load_checkpoint(tmp_path / "checkpoint")
    assert load_checkpoint(tmp_path / "checkpoint", activation=own).sha256 == record.checkpoint_sha256


# ---- what happens in a step


def test_the_learning_rate_follows_its_formula(
    dataset: ImageDataset, settings: Make, tmp_path: Path, watched: list[dict[str, Any]]
) -> None:
    for schedule in FACTORS:
        watched.clear()
        record = train(
            settings(schedule=schedule, learning_rate=0.01), tmp_path, dataset=dataset, progress=False
        )
        used = [step["rates"][0] for step in watched]
        assert used == pytest.approx([0.01 * FACTORS[schedule](t, 12) for t in range(12)], rel=1e-12)
        assert [e.learning_rate for e in record.epochs] == pytest.approx(used[3::4], rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_label_smoothing_reaches_the_loss(
    smoothing: float, dataset: ImageDataset, settings: Make, tmp_path: Path, watched: list[dict[str, Any]]
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    data = replace(dataset, augmentation=Augmentation(horizontal_flip=False, max_shift=0))
    asked = settings(label_smoothing=smoothing, epochs=1)
    batches = Batches(data.train, data.preprocessing, batch_size=8, seed=asked.seed)

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...], logits: torch.Tensor) -> None:
        seen.append((inputs[0].detach(), logits.detach()))

    hook = nn.modules.module.register_module_forward_hook(
        lambda m, i, o: keep(m, i, o) if type(m).__name__ == "Tiny" and m.training else None
    )
    try:
        train(asked, tmp_path, dataset=data, progress=False)
    finally:
        hook.remove()
    for index, ((images, logits), step) in enumerate(zip(seen, watched, strict=True)):
        expected_images, labels = batches.training(0, index)
        assert torch.equal(images, expected_images)
        log_p = logits.double() - torch.logsumexp(logits.double(), 1, keepdim=True)
        target = torch.full_like(log_p, smoothing / 3)
        target[torch.arange(8), labels] += 1 - smoothing
        assert step["loss"] == pytest.approx(float(-(target * log_p).sum(1).mean()), rel=1e-5)


def test_training_is_in_training_mode_and_evaluation_is_not(
    dataset: ImageDataset, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[tuple[str, bool]] = []
    for name in ("training_step", "validation_step"):
        original = getattr(Classifier, name)

        def spy(self: Classifier, batch: int, index: int, name: str = name, original: Any = original) -> Any:
            modes.append((name, self.model.training))
            return original(self, batch, index)

        monkeypatch.setattr(Classifier, name, spy)
    train(settings(epochs=2), tmp_path, dataset=dataset, progress=False)
    epoch = [("training_step", True)] * 4 + [("validation_step", False)]
    assert modes == epoch * 2


def test_evaluate_counts_in_eval_mode_and_leaves_the_mode(dataset: ImageDataset) -> None:
    class Probe(nn.Module):
        """Right in eval mode, never right in training mode."""

        def __init__(self, labels: np.ndarray[Any, Any]) -> None:
            super().__init__()
            self.rows = torch.eye(3)[torch.from_numpy(labels)]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype == torch.float32
            return -self.rows if self.training else self.rows

    probe = Probe(dataset.test.labels).train()
    assert evaluate(probe, dataset.test, dataset.preprocessing) == (30, 30)
    assert probe.training


def test_only_weights_of_convolutions_and_linear_layers_decay() -> None:
    model = build_model("mobilenet_v2", activation="sau", width=0.1, num_classes=3)
    names = {id(p): n for n, p in model.named_parameters()}
    decaying, others = parameter_groups(model, 0.1)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(p.dim() >= 2 for p in decaying["params"])
    kept = {names[id(p)].rpartition(".")[2] for p in others["params"]}
    assert kept == {"weight", "bias", "alpha"}
    assert all(p.dim() <= 1 for p in others["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(names)


def test_bf16_runs_the_convolutions_in_bfloat16_and_keeps_float32_weights(
    dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    seen: set[torch.dtype] = set()

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d) and module.training:
            seen.add(output.dtype)

    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        record = train(settings(precision="bf16-mixed", epochs=1), tmp_path, dataset=dataset, progress=False)
    finally:
        hook.remove()
    assert seen == {torch.bfloat16}
    assert math.isfinite(record.epochs[0].train_loss or math.nan)
    weights = load_checkpoint(tmp_path / "checkpoint").model.state_dict().values()
    assert {w.dtype for w in weights} == {torch.float32, torch.int64}


# ---- what is said


@pytest.mark.parametrize("progress", [None, False, True])
def test_what_is_said(
    progress: bool | None,
    dataset: ImageDataset,
    settings: Make,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    train(settings(epochs=2), tmp_path / "out", dataset=dataset, progress=progress)
    out, err = capfd.readouterr()
    assert out == ""
    assert {p.name for p in tmp_path.iterdir()} == {"out"}, "Lightning left something behind"
    if progress is None:
        first, second = err.splitlines()
        assert first.startswith("epoch 1/2  loss ")
        assert "validation" in second
    elif progress:
        assert "epoch 2/2, validation" in err
        assert "0/8 [" in err, "the bar counts the steps of the whole run"
        assert "loss" in err
    else:
        assert err == ""


def test_torch_is_left_as_it_was(dataset: ImageDataset, settings: Make, tmp_path: Path) -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
            torch.is_grad_enabled(),
            torch.random.get_rng_state().tolist(),
        )

    before = state()
    train(settings(epochs=1), tmp_path, dataset=dataset, progress=False)
    assert state() == before


# ---- statistics


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (7, 10), (920, 1000), (1, 3)])
def test_wilson_interval_is_scipys(correct: int, total: int) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson_interval(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_counted_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_importing_the_settings_imports_no_torch() -> None:
    import subprocess

    code = (
        "import sys, edgeacts.training; assert not {'torch', 'pytorch_lightning', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_record_is_json_without_special_numbers(
    dataset: ImageDataset, settings: Make, tmp_path: Path
) -> None:
    train(settings(epochs=1), tmp_path, dataset=dataset, progress=False)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "training.json").read_text(), parse_constant=refuse)
