"""Records of export."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record


class ExportRecord(Record, frozen=True, tag_field="kind", tag="export"):
    """What an export wrote: portable model and inlined twin, with hashes, and the verdict it ended with."""

    portable: str
    portable_sha256: str
    inlined: str
    inlined_sha256: str
    opset: int
    activation: str
    activation_nodes: int
    operators: dict[str, int]
    parent_sha256: str
    verdict_passed: bool
    verdict_summary: str
    seconds: float
    circumstances: Circumstances
    version: int = 1
