"""Every network as ONNX with a dynamic batch: batches of 1, 2 and 7 give torch's rows in ONNX Runtime."""

import io
from collections.abc import Callable

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edgeacts.models import NETWORKS, build_model

LEAST_WIDTHS = [(row.name, min(row.widths or (0.35,))) for row in NETWORKS]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's exporter calls torch's own old name
@pytest.mark.parametrize(("name", "width"), LEAST_WIDTHS)
def test_rows_in_onnxruntime_are_torchs(
    name: str, width: float, enliven: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    model = build_model(
        name, activation=lambda _: nn.ReLU(), width=width, num_classes=5, in_channels=1, small_images=True
    )
    batch = torch.randn(7, 1, 28, 28)
    logits = enliven(model, batch).numpy()
    session = onnxruntime.InferenceSession(exported(model, batch[:2]), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        (rows,) = session.run(None, {"image": batch[:count].numpy()})
        assert rows == pytest.approx(logits[:count], rel=1e-4, abs=1e-4)


def exported(model: nn.Module, example: Tensor) -> bytes:
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["image"],
        opset_version=20,
        verbose=False,
    )
    assert program is not None
    file = io.BytesIO()
    onnx.save(program.model_proto, file)
    return file.getvalue()
