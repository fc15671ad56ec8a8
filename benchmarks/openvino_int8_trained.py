"""Accuracy of trained networks in each INT8 variant, and as NNCF quantizes them without us."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeacts.cli.quantize import calibration_data
from edgeacts.data import limit
from edgeacts.exporters.to_openvino import write_ir
from edgeacts.quantization.openvino_judging import OpenVinoJudge
from edgeacts.quantization.openvino_nncf import load_nncf
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_variants import Variants
from edgeacts.runtimes.openvino_reading import ReadModel, read_file

DATA, CALIBRATION, JUDGES = "fashion-mnist", 64, 1000


def accuracy_rows(runs: Path | None) -> list[dict[str, Any]]:
    """One row for each RUNS/*/export/model.onnx, on Fashion-MNIST's test images."""
    if runs is None:
        raise SystemExit("trained: give --runs DIR")
    return [_row(path) for path in sorted(runs.glob("*/export/model.onnx"))]


def _row(path: Path) -> dict[str, Any]:
    dataset = calibration_data(path, DATA, None, CALIBRATION)
    normalize, test = dataset.preprocessing.normalize, dataset.test
    labels = np.asarray(test.labels[:JUDGES])
    judge = OpenVinoJudge(path, normalize(test.images[:JUDGES]), labels)
    images = normalize(limit(dataset, train=CALIBRATION, seed=0).train.images)
    nncf = load_nncf()
    found: dict[str, float | None] = {"float": judge.accuracy}
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "variant.xml"
        plain = read_file(path)
        calibration = nncf.Dataset([image[None] for image in images])
        cut = nncf.quantize(plain.model, calibration, subset_size=len(images))
        write_ir(ReadModel(cut, None, {}, {}, {}), {}, xml)
        found["NNCF as it is"] = judge.judge(xml)[1]
        for half in (True, False):
            made = Variants(path, images, half_range=half)
            for placement in made.placements:
                base = made.exported(placement)
                suffix = "7 bits" if half else "8 bits"
                found[f"{placement}, {suffix}"] = judge.judge(made.write(base, xml))[1]
                if half and placement == made.placements[-1]:
                    for share in OpenVinoSettings().step_shares:
                        variant = made.polynomials(base, share)
                        found[f"{share:g} step, {suffix}"] = judge.judge(made.write(variant, xml))[1]
    return {"network": path.parents[1].name, "images": len(labels), "accuracy": found}
