"""The network that forms are measured in: exported once, its activations then replaced by each form."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import helper, inliner
from torch import nn

from edgeacts.bodies import FORMS_KEY
from edgeacts.errors import UsageError
from edgeacts.exporters import to_onnx
from edgeacts.exporters.to_onnx import form_metadata
from edgeacts.forms import DOMAIN, Choice, function, operator_name
from edgeacts.models import build_model, network

CHANNELS = 3
SIZES = (32, 512)  # smallest and largest side of the images


def network_with_relu(model: str, size: int) -> onnx.ModelProto:
    """The portable model of that network with ReLU for 1x3xSIZExSIZE, its weights random but alive. Raises UsageError."""
    network(model)
    if isinstance(size, bool) or not isinstance(size, int) or not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"size {size!r} must be a whole number from {SIZES[0]} to {SIZES[1]}")
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory(prefix="edgeacts-tune-") as folder:
        torch.manual_seed(0)
        module = _alive(build_model(model, activation="relu"), size)
        exported = to_onnx(
            module,
            torch.zeros(1, CHANNELS, size, size),
            Path(folder) / "relu.onnx",
            input_names=["image"],
            output_names=["logits"],
            dynamic_batch=False,
        )
        return onnx.load(exported.portable)


def _alive(module: nn.Module, size: int) -> nn.Module:
    """Weights through which signals reach the output: batch-norm statistics from two batches."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        for _ in range(2):
            module.train()(torch.randn(4, CHANNELS, size, size))
    return module.eval()


def with_function(portable: onnx.ModelProto, choice: Choice, values: Mapping[str, float]) -> onnx.ModelProto:
    """A portable model with each activation replaced by that form of another, as functions."""
    result = onnx.ModelProto()
    result.CopyFrom(portable)
    for node in result.graph.node:
        if node.domain == DOMAIN:
            node.op_type = operator_name(choice.activation)
            del node.attribute[:]
            node.attribute.extend(helper.make_attribute(n, float(v)) for n, v in values.items())
    opset = next(o.version for o in result.opset_import if o.domain == "")
    del result.functions[:]
    result.functions.append(function(choice, opset=opset))
    del result.metadata_props[:]  # they are about the activation that was
    stated = form_metadata({operator_name(choice.activation): choice})
    result.metadata_props.add(key=FORMS_KEY, value=stated)
    return result


def with_form(portable: onnx.ModelProto, choice: Choice, values: Mapping[str, float]) -> onnx.ModelProto:
    """The same without functions."""
    return inliner.inline_local_functions(with_function(portable, choice, values))
