"""Bodies of activations that ONNX Runtime without kernels (browser, mobile) runs fastest between Q and DQ."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgeacts.bodies import adopt
from edgeacts.errors import DamagedFile
from edgeacts.exporters.runtime_forms import Wish, bodies_on, uses_in
from edgeacts.names import check_name
from edgeacts.quantization.preparing import opset_of

RUNTIMES = ("onnxruntime",)


def with_bodies_for(
    model: onnx.ModelProto, runtime: str | None, tuning: str | Path | None = None
) -> onnx.ModelProto:
    """A copy in which activations of the catalogue have the body that is fastest on `runtime` in 8 bits; `model` for None.

    As `edgeacts tune --precision int8` measured: in `tuning`, the user's file, or the one that ships. Kernels need no body,
    they look results up. Raises UsageError (runtime, no such file) or DamagedFile.
    """
    if runtime is None:
        return model
    check_name(runtime, RUNTIMES, "runtime without kernels")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    own = {f.name: f for f in result.functions}
    try:
        wish = Wish(opset=opset_of(result), tuning=tuning)
        adopt(result, bodies_on(runtime, "int8", uses_in(result), own, wish))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedFile(f"metadata of the model cannot be read ({error}): export it again") from None
    return result
