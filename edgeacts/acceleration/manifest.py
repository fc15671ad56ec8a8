"""What was made of a model on this machine, as a record beside the compiled file."""

from __future__ import annotations

from edgeacts.records import Record


class SiteRecord(Record, frozen=True, kw_only=True):
    """One activation: its output's name, operator, form in the file, certified bound, and where it runs.

    `kernel` is "" where the runtime's own operators run it; `why` says why then. `exact`: the kernel gives what the model's own
    operators give, to the last bit.
    """

    name: str
    operator: str
    form: str
    bound: float
    kernel: str = ""
    layout: str = ""
    why: str = ""
    exact: bool = False


class CandidateRecord(Record, frozen=True, kw_only=True):
    """One way to run the model: median milliseconds on the sample input, largest error, or why it was not used."""

    milliseconds: float | None = None
    error: float | None = None
    why: str = ""


class Manifest(Record, frozen=True, kw_only=True, tag_field="kind", tag="accelerated"):
    """The choice for one model, machine and number of threads.

    `chosen` names the candidate: "stock" is the model as it is. `allowed` is the largest error a candidate might have, in units
    of how much the outputs move between the samples.
    """

    chosen: str
    reason: str
    model_sha256: str
    file_sha256: str
    onnxruntime: str
    kernels: str
    isa: str
    cpu: str
    threads: int
    allowed: float
    candidates: dict[str, CandidateRecord]
    sites: tuple[SiteRecord, ...]
    version: int = 1
