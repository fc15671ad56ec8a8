"""Record of a search for the first layer at which two models part."""

from typing import Literal

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record


class LayerRow(Record, frozen=True):
    """One value that both models compute, in the order of computation.

    `reference` and `candidate` name it on either side (PyTorch module, ONNX value, OpenVINO layer). `relative_error` and
    `allowed` are shares of how far the value moves between inputs; None where it was not looked at.
    """

    reference: str
    candidate: str
    operator: str
    max_error: float | None
    relative_error: float | None
    allowed: float | None
    outcome: Literal["pass", "fail", "blind", "not looked at"]


class DivergenceRecord(Record, frozen=True, tag_field="kind", tag="divergence"):
    """`first` is the index of the row at which the models part, its inputs being within their budgets; None when they agree.

    `observer_effect` says how looking changed the result ("" when it did not). `minimal_model` and `minimal_input` are the files
    that show the divergence on its own, "" when there is none.
    """

    reference: str
    reference_sha256: str
    candidate: str
    candidate_sha256: str
    runtime: str
    level: str
    rows: tuple[LayerRow, ...]
    first: int | None
    looks: int
    observer_effect: str
    minimal_model: str
    minimal_input: str
    summary: str
    circumstances: Circumstances
    version: int = 1
