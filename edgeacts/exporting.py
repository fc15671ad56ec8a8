"""`export(model, example, path)`: write the portable model and its twin, then prove that they equal the model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeacts.checkpoint import Checkpoint, load_checkpoint
from edgeacts.circumstances import circumstances
from edgeacts.exporters import Exported, to_onnx
from edgeacts.files import sha256_file
from edgeacts.forms import TOLERANCE
from edgeacts.parity import RUNTIMES, verify
from edgeacts.records import ExportRecord, Verdict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeacts.definition import Activation


@dataclass(frozen=True)
class ExportResult:
    """The files, the record of the export, and the verdict it ended with (`verdict.passed`)."""

    portable: Path
    inlined: Path
    record: ExportRecord
    verdict: Verdict


def export(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    path: str | Path,
    *,
    opset: int = 20,
    tolerance: float = TOLERANCE,
    form: str | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    metadata: Mapping[str, str] | None = None,
    tuning: str | Path | None = None,
    body_for: str | None = None,
    images: NDArray[np.float32] | None = None,
    runtimes: Sequence[str] | None = None,
    parent_sha256: str = "",
    label: str | None = None,
    progress: bool = False,
) -> ExportResult:
    """PATH.onnx and PATH.inlined.onnx of any nn.Module in eval mode, checked by onnx.checker and judged against the model.

    `example` is one input (a tensor, or a tuple of them); the first dimension becomes a dynamic batch. Our activations are
    exported as functions in the cheapest form within `tolerance`·max(1, |x|), torch's own stay what they are.
    `tuning` is a file of `edgeacts tune`, by which OpenVINO's forms are chosen; with `body_for` = "onnxruntime" the functions'
    own bodies as well, for that runtime without kernels. `images` are inputs to judge the files on,
    besides random ones and extremes.
    Raises UsageError (training mode, opset, example) or EdgeactsError (torch cannot export the model).
    """
    begin = time.perf_counter()
    exported = to_onnx(
        model, example, path, opset=opset, tolerance=tolerance, form=form, input_names=input_names,
        output_names=output_names, dynamic_batch=dynamic_batch, metadata=metadata,
        tuning=tuning, body_for=body_for,
    )  # fmt: skip
    verdict = verify(
        model, exported.portable, images=images, label=label, reference_sha256=parent_sha256, expected_metadata=metadata,
        tolerance=max([tolerance, *(c.bound for c in exported.choices.values())]), progress=progress,
        runtimes=RUNTIMES if runtimes is None else runtimes,
    )  # fmt: skip
    record = _record(exported, verdict, parent_sha256, time.perf_counter() - begin)
    return ExportResult(exported.portable, exported.inlined, record, verdict)


def export_checkpoint(
    checkpoint: Checkpoint | str | Path,
    folder: Path,
    *,
    name: str = "model",
    activation: Activation | None = None,
    opset: int = 20,
    tolerance: float = TOLERANCE,
    form: str | None = None,
    tuning: str | Path | None = None,
    body_for: str | None = None,
    images: NDArray[np.float32] | None = None,
    runtimes: Sequence[str] | None = None,
    progress: bool = False,
) -> ExportResult:
    """FOLDER/NAME.onnx, its inlined twin, export.json and verdict.json of a trained checkpoint.

    Input `image` [batch, C, H, W], output `logits` [batch, classes]; classes, preprocessing, activation and parent hash go
    into the file's metadata. Raises what `export` and `load_checkpoint` raise.
    """
    import torch

    loaded = (
        checkpoint
        if isinstance(checkpoint, Checkpoint)
        else load_checkpoint(Path(checkpoint), activation=activation)
    )
    preprocessing = loaded.spec.preprocessing
    example = torch.zeros(1, preprocessing.channels, preprocessing.height, preprocessing.width)
    result = export(
        loaded.model, example, folder / f"{name}.onnx", opset=opset, tolerance=tolerance, form=form, input_names=["image"],
        output_names=["logits"], metadata=checkpoint_metadata(loaded), images=images, runtimes=runtimes,
        parent_sha256=loaded.sha256, label=loaded.path.name, progress=progress, tuning=tuning,
        body_for=body_for,
    )  # fmt: skip
    result.verdict.write(folder / "verdict.json")
    result.record.write(folder / "export.json")
    return result


def checkpoint_metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """What a file exported from this checkpoint says about itself: `edgeacts.classes` and so on, values in JSON."""
    spec = checkpoint.spec
    activation = {"name": spec.activation, "parameters": spec.activation_parameters}
    return {
        "edgeacts.activation": json.dumps(activation, sort_keys=True),
        "edgeacts.classes": json.dumps(list(spec.classes), ensure_ascii=False),
        "edgeacts.model": json.dumps({"name": spec.model, "width": spec.width}),
        "edgeacts.parent_sha256": checkpoint.sha256,
        "edgeacts.preprocessing": spec.preprocessing.to_json(),
        "edgeacts.versions": json.dumps(spec.versions, sort_keys=True),
    }


def _record(exported: Exported, verdict: Verdict, parent: str, seconds: float) -> ExportRecord:
    return ExportRecord(
        portable=exported.portable.name,
        portable_sha256=sha256_file(exported.portable),
        inlined=exported.inlined.name,
        inlined_sha256=sha256_file(exported.inlined),
        opset=exported.opset,
        activation=", ".join(c.activation.name for c in exported.choices.values()),
        activation_nodes=exported.activation_nodes,
        operators=exported.operators,
        parent_sha256=parent,
        verdict_passed=verdict.passed,
        verdict_summary=verdict.summary,
        seconds=seconds,
        circumstances=circumstances(),
    )
