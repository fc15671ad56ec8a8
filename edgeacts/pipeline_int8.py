"""The 8-bit part of a run: each exported network quantized within the accuracy gate, and verified against its float model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeacts.data.dataset import ImageDataset
from edgeacts.data.splits import limit
from edgeacts.parity import verify
from edgeacts.quantization import QuantizeSettings, post_training
from edgeacts.quantization.checking import load_model
from edgeacts.quantization.judged import judge
from edgeacts.quantization.judged_files import GATE_FILE, write_judged
from edgeacts.quantization.writing import PORTABLE
from edgeacts.records import GateRecord, Verdict
from edgeacts.stages import Stage

IMAGES = 256
FOLDER, VERIFY_FOLDER = "quantize", "verify-int8"
_RUNTIMES = frozenset(
    {"onnxruntime", "accelerated"}
)  # OpenVINO has a file of its own: edgeacts.quantization.openvino


def int8_model(folder: Path) -> Path:
    """The portable 8-bit model of the network in `folder`."""
    return folder / FOLDER / PORTABLE


def int8_label(label: str) -> str:
    """What the 8-bit model is called beside its float model."""
    return f"{label}-int8"


def int8_stages(
    folder: Path,
    dataset: ImageDataset,
    images: NDArray[np.float32],
    runtimes: Sequence[str],
    seed: int,
    progress: bool | None,
) -> list[Stage]:
    """Stages `quantize` and `verify-int8` behind the export in `folder`."""
    portable, out = folder / "export" / "model.onnx", folder / FOLDER

    def do_quantize() -> None:
        chosen = limit(dataset, train=max(IMAGES, len(dataset.classes)), seed=seed).train
        done = post_training(
            load_model(portable), dataset.preprocessing.normalize(chosen.images),
            settings=QuantizeSettings(seed=seed), labels=chosen.labels, progress=bool(progress),
        )  # fmt: skip
        write_judged(judge(done, dataset, out=out, progress=bool(progress)), portable, out)

    def do_verify() -> None:
        chosen = [runtime for runtime in runtimes if runtime in _RUNTIMES] or ["onnxruntime"]
        verdict = verify(portable, int8_model(folder), images=images, runtimes=chosen)
        verdict.write(folder / VERIFY_FOLDER / "verdict.json")

    return [
        Stage("quantize", out, (portable,), do_quantize),
        Stage("verify-int8", folder / VERIFY_FOLDER, (portable, int8_model(folder)), do_verify),
    ]


def int8_parents(folder: Path) -> list[Path]:
    """The records that a report is made from."""
    return [
        folder / FOLDER / "quantization.json",
        folder / FOLDER / GATE_FILE,
        folder / VERIFY_FOLDER / "verdict.json",
    ]


def int8_results(folder: Path) -> tuple[GateRecord, Verdict]:
    """What the gate and the verification said."""
    gate = GateRecord.read(folder / FOLDER / GATE_FILE)
    return gate, Verdict.read(folder / VERIFY_FOLDER / "verdict.json")
