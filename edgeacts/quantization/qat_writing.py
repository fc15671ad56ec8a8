"""Fine-tuned twin -> the INT8 file it was made of with the trained weights, and the proof that the two compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeacts.errors import EdgeactsError
from edgeacts.quantization.compacting import compact
from edgeacts.quantization.deployed import open_model
from edgeacts.quantization.graphs import drop_unused_weights
from edgeacts.quantization.qat_reading import Trained
from edgeacts.quantization.qat_twin import QuantizedTwin


def write_weights(twin: QuantizedTwin, model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the file that `twin` was made of: its weights, their scales and biases, everything else as it was."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    makers = {name: node for node in result.graph.node for name in node.output}
    constants = {t.name: t for t in result.graph.initializer}
    scales: dict[str, str] = {}
    with torch.no_grad():
        for row in twin.trained.values():
            if row.site is None and not row.bias_of:
                values = twin.weight(row.parameter).cpu().numpy()
                constants[row.value].CopyFrom(numpy_helper.from_array(values, row.value))
                continue
            integers, scale = _weight(twin, row) if row.site is not None else _bias(twin, row)
            names = [_free(f"{row.parameter}.int", constants), _free(f"{row.parameter}.scale", constants)]
            for name, array in zip(names, (integers, scale), strict=True):
                constants[name] = numpy_helper.from_array(array, name)
                result.graph.initializer.append(constants[name])
            dequantize = makers[row.value]
            dequantize.input[0] = names[0]
            if dequantize.input[1] in makers:  # input scale · weight scale, multiplied by the file itself
                makers[dequantize.input[1]].input[1] = scales[row.bias_of]
            else:
                dequantize.input[1] = names[1]
            scales[row.parameter] = names[1]
    compact(result)
    return result


def write_float(twin: QuantizedTwin, prepared: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the float model that the file was made of (`Calibration.prepared`) with the trained weights and biases.

    Raises EdgeactsError when it lacks a layer of the file.
    """
    result = onnx.ModelProto()
    result.CopyFrom(prepared)
    nodes = {node.name: node for node in result.graph.node}
    with torch.no_grad():
        for row in twin.trained.values():
            node, place = nodes.get(row.node), 2 if row.parameter != row.node else 1
            if node is None or len(node.input) < 2:
                raise EdgeactsError(
                    f"the float model has no layer {row.node}: it is not the one that was quantized"
                )
            name = f"{row.parameter}.trained"
            values = twin.weight(row.parameter).cpu().numpy()
            result.graph.initializer.append(numpy_helper.from_array(values, name))
            node.input[place:] = [name, *node.input[place + 1 :]]
    drop_unused_weights(result.graph)
    return result


def _weight(twin: QuantizedTwin, row: Trained) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    assert row.site is not None, "the caller's"  # noqa: S101
    return row.site.written(twin.weight(row.parameter))


def _bias(twin: QuantizedTwin, row: Trained) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    step = twin.bias_step(row)
    steps = torch.round(twin.weight(row.parameter) / step).double().cpu().numpy()
    limits = np.iinfo(np.int32)
    if np.any((steps < limits.min) | (steps > limits.max)):
        raise EdgeactsError(
            f"the bias of {row.node} does not fit 32 bits at its weight's scale: train with a lower learning rate"
        )
    return steps.astype(np.int32), step.cpu().numpy().astype(np.float32)


def _free(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "_"
    return name


@dataclass(frozen=True)
class Parity:
    """The twin held against the file, every quantized tensor computed from the file's own inputs to it.

    Of `values` 8-bit numbers `one_step` differ by one and `more` by more than one; the output's largest difference is
    `output_error` of its spread (the standard deviation over images).
    """

    values: int
    one_step: int
    more: int
    output_error: float

    @property
    def holds(self) -> bool:
        """No number is off by more than a step, at most one in a hundred by one, the output by at most a hundredth."""
        return (
            self.values > 0
            and self.more == 0
            and self.one_step <= 0.01 * self.values
            and self.output_error <= 0.01
        )

    def __str__(self) -> str:
        return (
            f"{self.values:,} 8-bit numbers: {self.one_step:,} differ by one step, {self.more:,} by more; "
            f"the output by {self.output_error:.2g} of its spread"
        )


def compare_with_file(twin: QuantizedTwin, model: onnx.ModelProto, images: NDArray[np.float32]) -> Parity:
    """Twin and file, run by ONNX Runtime without optimizations, tensor by tensor, so that no difference adds to another."""
    names = dict(zip(twin.sites, _quantized(model), strict=True))  # a written file may have shorter ones
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {v.name for v in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names.values() if n not in there)
    wanted = [*names.values(), model.graph.output[0].name]
    session = open_model(watched, optimized=False)
    found = dict(zip([*names, twin.output], session.run(wanted, {twin.input: images}), strict=True))
    forced = {
        name: torch.tensor((found[name].astype(np.float32) - site.zero) * np.float32(site.scale))
        for name, site in twin.sites.items()
    }
    was_training = twin.training
    with torch.inference_mode():
        mine = twin.eval().run(torch.from_numpy(images), forced=forced, keep=True)
    twin.train(was_training)
    steps = [
        np.abs(site.integers(mine[f"{name} (computed)"]).numpy() - found[name].astype(np.int64))
        for name, site in twin.sites.items()
    ]
    output = found[twin.output]
    spread = float(output.std(axis=0).mean())
    error = float(np.abs(mine[twin.output].numpy() - output).max())
    return Parity(
        values=sum(s.size for s in steps),
        one_step=sum(int((s == 1).sum()) for s in steps),
        more=sum(int((s > 1).sum()) for s in steps),
        output_error=error / spread if spread > 0 else float("inf"),
    )


def _quantized(model: onnx.ModelProto) -> list[str]:
    """The file's quantized tensors, in its order."""
    return [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
