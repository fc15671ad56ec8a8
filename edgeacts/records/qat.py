"""Record of quantization-aware fine-tuning."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.accuracy import PairedDrop
from edgeacts.records.base import Record
from edgeacts.records.training import Epoch


class QatRecord(Record, frozen=True, tag_field="kind", tag="qat"):
    """What fine-tuning an INT8 file did. `before` and `after` are drops from the float model to the file, on the test images.

    `kept` is false where fine-tuning was no better on the validation images, and the file is the one from before. Of `values`
    8-bit numbers `one_step` differed by one and `more` by more between the trained module and the written file, and its
    output by `output_error` of its spread.
    """

    data: str
    settings: dict[str, str | int | float | bool | None]
    epochs: tuple[Epoch, ...]
    before_sha256: str
    after_sha256: str
    before: PairedDrop
    after: PairedDrop
    kept: bool
    weights: int
    from_float: int
    values: int
    one_step: int
    more: int
    output_error: float
    summary: str
    seconds: float
    circumstances: Circumstances
    version: int = 1
