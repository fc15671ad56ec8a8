"""`export_openvino(portable, out)`: OpenVINO's files of a portable model, proved to equal what they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import CheckFailed
from edgeacts.exporters.to_openvino import PREPROCESSING, OpenVinoFiles, to_openvino
from edgeacts.parity import verify
from edgeacts.parity.budgets import FORM_BOUND_AT_MOST
from edgeacts.preprocessing import Preprocessing
from edgeacts.records import ExecutedGraph, Verdict
from edgeacts.runtimes import model_metadata, open_runtime

if TYPE_CHECKING:
    from torch import nn

VERDICT, EXECUTED = "verdict-openvino.json", "executed-openvino.json"
PICTURES = ((240, 320), (97, 61), (480, 200))  # heights and widths that a camera input is tried on
# Rounding to whole grey levels was seen to move outputs by up to 0.02 of their movement; another order of colours by 0.5.
CAMERA_AT_MOST = 0.1


@dataclass(frozen=True)
class OpenVinoResult:
    """The files, the verdict on the IR, what is executed, and how far outputs from a camera's pictures lie apart.

    `camera_error` is a share of the outputs' movement: pictures prepared inside the model, and by `Preprocessing`.
    """

    files: OpenVinoFiles
    verdict: Verdict
    executed: ExecutedGraph
    camera_error: float | None


def export_openvino(
    portable: str | Path,
    out: str | Path,
    *,
    name: str = "model",
    tolerance: float | None = None,
    tuning: str | Path | None = None,
    precision: str = "f32",
    camera: str | None = None,
    reference: nn.Module | None = None,
    images: NDArray[np.float32] | None = None,
    label: str | None = None,
    reference_sha256: str = "",
    expected_metadata: Mapping[str, str] | None = None,
    batches: Sequence[int] = (1, 2, 7),
    progress: bool = False,
) -> OpenVinoResult:
    """OUT/NAME.xml and what `to_openvino` writes beside it, verdict-openvino.json and executed-openvino.json.

    The IR is judged against `reference` (the torch module it came from) or against the portable file. Arguments are those of
    `to_openvino` and `verify`. Raises what they raise, and CheckFailed when a camera's pictures give something else.
    """
    source, folder = Path(portable), Path(out)
    files = to_openvino(
        source, folder, tolerance=tolerance, tuning=tuning, precision=precision, camera=camera, name=name
    )
    bounds = [bound for _, bound in files.forms.values()]
    with open_runtime(files.xml, "openvino", precision=precision) as session:
        executed = session.made(ExecutedGraph)
    verdict = verify(
        source if reference is None else reference, files.xml, images=images, runtimes=("openvino",), batches=batches,
        precisions=precision, tolerance=max([tolerance or FORM_BOUND_AT_MOST, *bounds]), label=label,
        reference_sha256=reference_sha256, expected_metadata=expected_metadata, progress=progress,
    )  # fmt: skip
    verdict.write(folder / VERDICT)
    executed.write(folder / EXECUTED)
    error = None if files.camera is None else _camera_error(files, files.camera, precision)
    if error is not None and not error <= CAMERA_AT_MOST:
        raise CheckFailed(
            f"{files.camera}: its outputs lie {error:.2g} of their movement from those of pictures prepared by the "
            f"project's own preprocessing, at most {CAMERA_AT_MOST:g} is allowed"
        )
    return OpenVinoResult(files, verdict, executed, error)


def _camera_error(files: OpenVinoFiles, camera: Path, precision: str) -> float:
    """The largest difference between the outputs of the two files, in units of how far outputs move between the pictures."""
    with (
        open_runtime(files.xml, "openvino", precision=precision) as plain,
        open_runtime(camera, "openvino", precision=precision) as whole,
    ):
        stated = model_metadata(camera)
        prepare = Preprocessing.from_json(stated[PREPROCESSING])
        pictures = [_picture(h, w, seed) for seed, (h, w) in enumerate(PICTURES)]
        order = slice(None, None, -1) if stated["edgeacts.camera"] == "bgr" else slice(None)
        expected = [plain.infer({plain.inputs[0].name: prepare([p])}) for p in pictures]
        shown = [np.ascontiguousarray(p[None, ..., order]) for p in pictures]
        found = [whole.infer({whole.inputs[0].name: p}) for p in shown]
    worst = 0.0
    for output in expected[0]:
        values = np.stack([e[output].astype(np.float64) for e in expected])
        moved = float(np.ptp(values, axis=0).max()) or 1.0
        worst = max(
            worst, *(float(np.abs(f[output] - v).max()) / moved for f, v in zip(found, values, strict=True))
        )
    return worst


def _picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """uint8 [height, width, 3] of soft coloured patches: photographs are smooth, and noise would be averaged away."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3))
    rows, columns = (np.linspace(0, 4.99, n) for n in (height, width))
    r, c = rows.astype(int), columns.astype(int)
    u, v = (rows - r)[:, None, None], (columns - c)[None, :, None]
    top = coarse[r][:, c] * (1 - v) + coarse[r][:, c + 1] * v
    bottom = coarse[r + 1][:, c] * (1 - v) + coarse[r + 1][:, c + 1] * v
    picture: NDArray[np.uint8] = np.rint(top * (1 - u) + bottom * u).astype(np.uint8)
    return picture
