"""NNCF's post-training quantization of an openvino.Model, each activation left to be one unit. It says and sends nothing."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, NotAvailable, one_line
from edgeacts.quantization.openvino_units import Unit, check_whole

_TELEMETRY = "openvino_telemetry"
PLACEMENTS = ("all", "no-depthwise")
DEPTHWISE = "GroupConvolution"


def load_nncf() -> Any:
    """The module `nncf`, imported without its telemetry, which would write into the home folder and use the network.

    Raises NotAvailable.
    """
    if (loaded := sys.modules.get("nncf")) is not None:
        return loaded
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it fails, NNCF then goes without
    try:
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf
            import nncf.openvino.quantization.quantize_model  # the back end, on first use otherwise
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "nncf":
            raise NotAvailable(
                f"nncf cannot be imported ({one_line(error)}): pip install 'edgeacts[quantize]'"
            ) from error
        raise NotAvailable("nncf is not installed: pip install 'edgeacts[quantize]'") from None
    finally:
        if before is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before
    return nncf


def quantize_model(
    model: Any,
    units: tuple[Unit, ...],
    images: NDArray[np.float32],
    *,
    placement: str,
    half_range: bool,
    batch: int = 1,
    keep_float: frozenset[str] = frozenset(),
    step: Callable[[int], object] = lambda count: None,
) -> Any:
    """A quantized copy of the model: quantizers stand before layers only, never inside a unit.

    `placement` "no-depthwise" leaves depthwise convolutions in float, `keep_float` the operations of those names;
    `half_range` gives weights 7 bits. Activations are asymmetric 8 bits, weights symmetric a channel, biases corrected.
    Raises EdgeactsError, or CheckFailed if a unit was cut.
    """
    nncf = load_nncf()
    copy = model.clone()
    left = {name for unit in units for name in unit.operations} | keep_float
    if placement == "no-depthwise":
        left |= depthwise_names(copy)
    overflow = nncf.OverflowFix.ENABLE if half_range else nncf.OverflowFix.DISABLE
    dataset = nncf.Dataset(_Batches(images, batch, step))
    try:
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = nncf.quantize(
                copy,
                dataset,
                preset=nncf.QuantizationPreset.MIXED,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(images) // batch,
                ignored_scope=nncf.IgnoredScope(names=sorted(left)) if left else None,
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    overflow_fix=overflow, batchwise_statistics=False
                ),
            )
    except Exception as error:  # nncf's and openvino's classes share nothing but Exception
        raise EdgeactsError(f"nncf cannot quantize the model: {one_line(error)}") from error
    check_whole(result, units)
    return result


def depthwise_names(model: Any) -> set[str]:
    """Names of the grouped convolutions."""
    return {op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == DEPTHWISE}


class _Batches:
    """The images in the model's batch size, as often as NNCF wants to go through them."""

    def __init__(self, images: NDArray[np.float32], batch: int, step: Callable[[int], object]) -> None:
        self._images, self._batch, self._step = images, batch, step

    def __len__(self) -> int:
        return len(self._images) // self._batch

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self) * self._batch, self._batch):
            yield self._images[start : start + self._batch]
            self._step(self._batch)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither NNCF's bars nor its log go to standard output."""
    logger = logging.getLogger("nncf")
    level = logger.level
    with contextlib.redirect_stdout(io.StringIO()):
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
