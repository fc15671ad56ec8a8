"""What 8 bits cost trained networks in accuracy: edgeacts.quantize against quantize_static. Writes int8_accuracy.json beside it.

    python benchmarks/int8_accuracy.py [--exports DIR] [--into README.md] [--test-images 10000]

Each network is quantized from the same 256 training images, by `edgeacts.quantize` and by `quantize_static` (its preparation,
per channel, MinMax) on the decomposed graph, and all run as deployed, ONNX Runtime at its default level, on the test images.
DIR holds MODEL-ACTIVATION/export/model.onnx; without it, every network is trained for one epoch first. A network that stands
in the JSON already is not measured again.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from msgspec.structs import replace
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from trained_networks import DATA, IMAGES, Row, add_options, measured

from edgeacts.circumstances import circumstances
from edgeacts.data.dataset import ImageDataset
from edgeacts.data.splits import limit
from edgeacts.preprocessing import Preprocessing
from edgeacts.quantization import QuantizeSettings, post_training, quantize_static_units
from edgeacts.quantization.bias import measure_shifts
from edgeacts.quantization.sessions import open_here, outputs_for
from edgeacts.quantization.workflow import Quantized
from edgeacts.records import to_builtins
from edgeacts.report.insertion import insert_summary

BATCH = 64
_BIAS_IMAGES = 64


class Reader(CalibrationDataReader):
    """Batches of calibration images for onnxruntime.quantization."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = iter(
            [{name: images[i : i + 16]} for i in range(0, len(images), 16)]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next feed, None after the last."""
        return next(self._feeds, None)


def by_onnxruntime(inlined: Path, images: NDArray[np.float32], *, reduce_range: bool) -> onnx.ModelProto:
    """quantize_static of the decomposed graph, after its own preparation."""
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        ready, target = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(inlined, ready, skip_symbolic_shape=True)  # it fails on Constant<value_float>
        quantize_static(
            ready, target, Reader(onnx.load(ready).graph.input[0].name, images), per_channel=True,
            reduce_range=reduce_range, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(target)


def reduced(done: Quantized, images: NDArray[np.float32]) -> onnx.ModelProto:
    """The same with 7-bit weights."""
    settings = replace(done.settings, reduce_range="yes")
    calibration = done.calibration
    if settings.bias_correction:
        calibration = calibration.with_shifts(measure_shifts(calibration, settings, images[:_BIAS_IMAGES]))
    return quantize_static_units(done.source, calibration, settings, keep_float=done.keep_float)


def accuracy(
    model: onnx.ModelProto, images: NDArray[np.float32], labels: NDArray[np.int64], *, exact: bool = False
) -> float:
    """Share of the images whose class is right."""
    logits = outputs_for(open_here(model, exact=exact), model, images, BATCH)[0]
    return float(np.mean(logits.argmax(axis=1) == labels))


def measure(path: Path, dataset: ImageDataset, test_images: int) -> dict[str, Any]:
    """Accuracies of the float model and of each 8-bit model, sizes and seconds."""
    model = onnx.load(path)
    stated = {p.key: p.value for p in model.metadata_props}["edgeacts.preprocessing"]
    preprocessing = Preprocessing.from_json(stated)
    images = preprocessing.normalize(limit(dataset, train=IMAGES).train.images)
    test = limit(dataset, test=test_images).test
    given = preprocessing.normalize(test.images), test.labels
    begin = time.perf_counter()
    done = post_training(model, images, settings=QuantizeSettings(reduce_range="no"))
    seconds = time.perf_counter() - begin
    inlined = path.with_suffix(".inlined.onnx")
    stock = by_onnxruntime(inlined, images, reduce_range=False)
    stock7 = by_onnxruntime(inlined, images, reduce_range=True)
    ours7 = reduced(done, images)
    return {
        "network": path.parent.parent.name,
        "test_images": len(test),
        "float": accuracy(model, *given),
        "ours_exact": accuracy(done.model, *given, exact=True),
        "ours_8_bits": accuracy(done.model, *given),
        "ours_7_bits": accuracy(ours7, *given),
        "onnxruntime_8_bits": accuracy(stock, *given),
        "onnxruntime_7_bits": accuracy(stock7, *given),
        "sqnr_db": done.exact.sqnr_db,
        "ranges": done.settings.ranges,
        "bias_correction": done.settings.bias_correction,
        "trials": to_builtins(done.trials),
        "float_layers": sorted(done.keep_float),
        "size_ratio": done.model.ByteSize() / path.stat().st_size,
        "onnxruntime_size_ratio": stock.ByteSize() / path.stat().st_size,
        "seconds": seconds,
    }


def summary(record: Mapping[str, Any]) -> str:
    """The README's table: accuracy in float and the change in points."""
    lines = [
        "| network | float, % | edgeacts 7-bit | edgeacts 8 | edgeacts 8, exact "
        "| quantize_static 7-bit | quantize_static 8 | size |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    kinds = ("ours_7_bits", "ours_8_bits", "ours_exact", "onnxruntime_7_bits", "onnxruntime_8_bits")
    for row in record["networks"]:
        cells = [f"{100 * (row[kind] - row['float']):+.2f}" for kind in kinds]
        cells[0] = f"**{cells[0]}**"
        lines.append(
            f"| {row['network']} | {100 * row['float']:.2f} | {' | '.join(cells)} | {row['size_ratio']:.3f} |"
        )
    found = record["circumstances"]
    features = (
        ", ".join(f for f in found["cpu_features"] if "vnni" in f or f in ("avx2", "avx512f")) or "none"
    )
    lines += [
        "",
        f"Change of the accuracy in points on {record['networks'][0]['test_images']:,} test images of {DATA}, post-training, "
        f"{IMAGES} calibration images. As deployed by ONNX Runtime {found['versions']['onnxruntime']} on {found['cpu']} "
        f"({features}); `exact` is what a CPU computes that does not saturate. `quantize_static` quantizes the decomposed graph.",
    ]
    return "\n".join(lines)


def record_of(rows: list[Row]) -> dict[str, Any]:
    """What is written of the networks measured so far."""
    return {"circumstances": to_builtins(circumstances()), "onnxruntime": ort.__version__, "networks": rows}


def main() -> None:
    """Measure every network that is there, write the JSON after each, and the README's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, Path(__file__).with_suffix(".json"))
    parser.add_argument("--test-images", type=int, default=10_000)
    arguments = parser.parse_args()

    def one(path: Path, dataset: ImageDataset) -> Row:
        return measure(path, dataset, arguments.test_images)

    text = summary(measured(arguments.out, arguments.exports, one, record_of))
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "python benchmarks/int8_accuracy.py", "int8-accuracy")


if __name__ == "__main__":
    main()
