"""Dense networks: weights in 8 bits, the ranges of what goes in taken while it runs, so that no images are needed.

By onnxruntime.quantization, functions kept: they are opaque to it, and so stay in float. By hand: what is refused, the file's
metadata and the record.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType
from onnxruntime.quantization import quantize_dynamic as by_onnxruntime

from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.quantization.checking import check_images, load_model
from edgeacts.quantization.graphs import sort_nodes
from edgeacts.quantization.layers import layers_of
from edgeacts.quantization.measuring import Judge
from edgeacts.quantization.metadata import describe
from edgeacts.quantization.preparing import prepare
from edgeacts.quantization.saturation import probe
from edgeacts.quantization.sessions import fixed_batch, input_of
from edgeacts.quantization.writing import Findings, QuantizeResult, write_model
from edgeacts.records.quantization import OutputError

METHOD = "dynamic"
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")  # onnxruntime's mark, without which it warns
_SAMPLES = 64


def quantize_dynamic(
    model_path: str | Path, out: str | Path, *, images: NDArray[np.float32] | None = None
) -> QuantizeResult:
    """OUT/model.int8.onnx, its inlined twin and OUT/quantization.json of a network of MatMul and Gemm, without calibration.

    `images` are what its error is measured on; seeded N(0, 1) inputs without them. Weights have 7 bits where this machine
    saturates in matrix products: there 8 bits lose 10 dB. Raises UsageError for a network with
    convolutions, and what `quantize` raises.
    """
    begin = time.perf_counter()
    path = Path(model_path)
    model = load_model(path)
    prepared = prepare(model)
    _check_dense(prepared, path)
    reduce_range = probe().found["matrix products"]
    quantized = dynamic_model(model, reduce_range=reduce_range)
    judged = check_images(model, _samples(prepared) if images is None else images)
    found = Findings(
        images=0,
        held_out=len(judged),
        settings={"method": METHOD, "reduce_range": reduce_range},
        chosen=METHOD,
        exact=OutputError(sqnr_db=None),
        deployed=Judge(prepared, judged).error(quantized, exact=False),
        seconds=time.perf_counter() - begin,
    )
    return write_model(quantized, path, Path(out), found)


def dynamic_model(model: onnx.ModelProto, *, reduce_range: bool = False) -> onnx.ModelProto:
    """The model with MatMulInteger for every MatMul and Gemm of constant weights; the same model gives the same bytes."""
    prepared = prepare(model)
    entry = prepared.metadata_props.add()
    entry.key, entry.value = _PREPARED
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        target = Path(folder) / "model.onnx"
        try:
            by_onnxruntime(
                prepared, target, per_channel=True, reduce_range=reduce_range, weight_type=QuantType.QInt8
            )
        except Exception as error:  # onnxruntime.quantization raises what comes
            raise EdgeactsError(
                f"onnxruntime.quantization cannot quantize the model: {one_line(error)}"
            ) from error
        quantized = onnx.load(target)
    sort_nodes(quantized.graph)
    del quantized.graph.value_info[:]
    quantized.producer_name, quantized.producer_version = model.producer_name, model.producer_version
    describe(
        quantized,
        {p.key: p.value for p in model.metadata_props},
        {"ranges": METHOD, "activation_type": "uint8", "float_layers": []},
    )
    return quantized


def _check_dense(prepared: onnx.ModelProto, path: Path) -> None:
    found = next((layer for layer in layers_of(prepared) if layer.operator in _CONVOLUTIONS), None)
    if found is not None:
        raise UsageError(
            f"{path} has convolutions ({found.name}), which run slower with dynamic ranges: leave --dynamic out and give images"
        )


def _samples(model: onnx.ModelProto) -> NDArray[np.float32]:
    shape = [int(dim.dim_value) for dim in input_of(model).type.tensor_type.shape.dim[1:]]
    count = max(_SAMPLES, 2 * fixed_batch(model))
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)
