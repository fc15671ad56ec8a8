"""The trained networks that benchmarks of 8-bit accuracy measure, each one once."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resuming import folder_of, write
from tqdm import tqdm

from edgeacts.data import load_dataset
from edgeacts.data.dataset import ImageDataset

NETWORKS = {"mobilenet_v2": 0.5, "shufflenet_v2": 0.5, "squeezenet1_1": 1.0}
ACTIVATIONS = ("relu", "tanhexp", "mish", "nish", "sau")
DATA, IMAGES = "fashion-mnist", 256  # images that calibrate
NAMES = tuple(f"{model}-{activation}" for model in NETWORKS for activation in ACTIVATIONS)

Row = dict[str, Any]


def add_options(parser: argparse.ArgumentParser, out: Path) -> None:
    """--out, --exports and --into."""
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--exports", type=Path, help="folder of trained and exported networks")
    parser.add_argument("--into", type=Path, help="Markdown file to put the table into")


def train_all(folder: Path) -> None:
    """FOLDER/MODEL-ACTIVATION/export of every network, one epoch each."""
    from edgeacts.exporting import export_checkpoint
    from edgeacts.training import TrainSettings, train

    for model, width in NETWORKS.items():
        for activation in ACTIVATIONS:
            out = folder / f"{model}-{activation}"
            if not (out / "export" / "model.onnx").exists():
                train(
                    TrainSettings(model=model, activation=activation, width=width, data=DATA, epochs=1), out
                )
                export_checkpoint(out / "checkpoint.safetensors", out / "export", runtimes=("onnxruntime",))


def measured(
    out: Path,
    exports: Path | None,
    measure: Callable[[Path, ImageDataset], Row],
    record_of: Callable[[list[Row]], Mapping[str, Any]],
    *,
    kept: Callable[[Row], bool] = lambda row: True,
) -> dict[str, Any]:
    """The record in OUT, with every network of EXPORTS that it had no `kept` row of; written after each."""
    record: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"networks": []}
    found = {row["network"]: row for row in record["networks"] if kept(row)}
    missing = [name for name in NAMES if name not in found]
    if not missing:
        return record
    with folder_of(exports) as folder:
        if exports is None:
            train_all(folder)
        paths = {name: folder / name / "export" / "model.onnx" for name in missing}
        dataset = load_dataset(DATA)
        for name, path in tqdm([(name, path) for name, path in paths.items() if path.exists()]):
            found[name] = measure(path, dataset)
            record = dict(record_of([found[n] for n in NAMES if n in found]))
            write(out, record)
    return record
