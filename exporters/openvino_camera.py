"""A camera's picture as the model's input: OpenVINO resizes, converts and normalizes it inside the model."""

from __future__ import annotations

from typing import Any

from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.preprocessing import Preprocessing

COLORS = ("rgb", "bgr")
# Pillow's own filters, which smooth when they shrink. OpenVINO's nearest takes other pixels, and it has no lanczos.
_RESIZING = {"bilinear": "RESIZE_BILINEAR_PILLOW", "bicubic": "RESIZE_BICUBIC_PILLOW"}


def check_camera(color: str, preprocessing: Preprocessing | None) -> Preprocessing:
    """Raises UsageError when a picture cannot be prepared inside the model as `preprocessing` would."""
    if color not in COLORS:
        raise UsageError(f"camera {color!r}: give the order of its colours, {' or '.join(COLORS)}")
    if preprocessing is None:
        raise UsageError(
            "the model states no preprocessing, which a camera input needs: export it from a checkpoint, "
            "or leave camera out"
        )
    if preprocessing.resize not in _RESIZING:
        raise UsageError(
            f"resize {preprocessing.resize!r} has no equal in OpenVINO (it has {', '.join(_RESIZING)}): leave camera out"
        )
    return preprocessing


def with_camera_input(model: Any, color: str, preprocessing: Preprocessing) -> Any:
    """The openvino.Model with uint8 [N, H, W, 3] of any size for its float32 input [N, channels, height, width].

    Values differ from `preprocessing`'s by what rounding to whole grey levels does: 1 of 255, rarely 2. Raises UsageError
    (the model takes something else) or EdgeactsError.
    """
    import openvino
    from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm

    _check_input(model, preprocessing)
    build = PrePostProcessor(model)
    one = build.input()
    one.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    one.tensor().set_spatial_dynamic_shape().set_color_format(getattr(ColorFormat, color.upper()))
    one.model().set_layout(openvino.Layout("NCHW"))
    wanted = ColorFormat.GRAY if preprocessing.channels == 1 else ColorFormat.RGB
    if wanted == ColorFormat.GRAY or color != "rgb":
        one.preprocess().convert_color(wanted)
    one.preprocess().resize(getattr(ResizeAlgorithm, _RESIZING[preprocessing.resize]))
    one.preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    one.preprocess().mean(list(preprocessing.mean)).scale(list(preprocessing.std))
    try:
        return build.build()
    except RuntimeError as error:
        raise EdgeactsError(
            f"openvino cannot put the preprocessing into the model: {one_line(error)}"
        ) from error


def _check_input(model: Any, preprocessing: Preprocessing) -> None:
    if len(model.inputs) != 1:
        raise UsageError(f"a camera input needs a model of one input, this one has {len(model.inputs)}")
    shape = model.inputs[0].partial_shape
    wanted = (preprocessing.channels, preprocessing.height, preprocessing.width)
    found = () if shape.rank.is_dynamic else tuple(d.get_length() if d.is_static else None for d in shape)[1:]
    if len(found) != 3 or any(f not in (None, w) for f, w in zip(found, wanted, strict=True)):
        raise UsageError(
            f"the model's input is {shape}, its preprocessing makes [N, {', '.join(map(str, wanted))}]: leave camera out"
        )
