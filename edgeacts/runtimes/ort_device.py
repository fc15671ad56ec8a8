"""ONNX Runtime on a GPU: values bound there, so that a timed run copies nothing and ends when the GPU is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeacts.errors import EdgeactsError, one_line

DEVICE_ID = 0


def bind_on_device(
    native: Any, feeds: Mapping[str, np.ndarray], outputs: Sequence[str], device: str, ort: Any
) -> Callable[[], object]:
    """One run of feeds that lie on `device` ("cuda"), outputs left there; it returns when the device is done.

    A run only queues its kernels: without the synchronization the clock would stop before they have run. `ort` is the
    onnxruntime module. Raises EdgeactsError when the device does not take the values.
    """
    binding = native.io_binding()
    try:
        for name, array in feeds.items():
            value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), device, DEVICE_ID)
            binding.bind_ortvalue_input(name, value)
        for name in outputs:
            binding.bind_output(name, device, DEVICE_ID)
        binding.synchronize_inputs()
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        raise EdgeactsError(f"the inputs cannot be put on {device}: {one_line(error)}") from error

    def run() -> None:
        native.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run
