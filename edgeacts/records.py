"""Frozen records that stages exchange. Each writes itself to JSON with its kind and version and is validated when read.

A number that is not finite is stored as null.
"""

from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from edgeacts.circumstances import Circumstances
from edgeacts.errors import DamagedFile
from edgeacts.files import read_bytes, write_bytes_atomic

T = TypeVar("T", bound="Record")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is written to disk: `record.write(path)`, `Kind.read(path)`."""

    def write(self, path: Path) -> None:
        """Write as indented JSON, atomically."""
        write_bytes_atomic(Path(path), self.to_json())

    def to_json(self) -> bytes:
        """Indented UTF-8 JSON with a `kind` and a `version` field."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate. Raises UsageError (missing) or DamagedFile (not such a record, other version)."""
        return cls.from_json(read_bytes(Path(path), f"{cls.__name__} file"), str(path))

    @classmethod
    def from_json(cls, data: bytes, where: str = "record") -> Self:
        """Decode and validate; `where` names the source in the error."""
        try:
            record = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DamagedFile(f"{where} is not a valid {cls.__name__}: {error}") from None
        version = getattr(record, "version", None)
        wanted = cls.__struct_defaults__[-1] if version is not None else None
        if version != wanted:
            raise DamagedFile(
                f"{where} is a {cls.__name__} of version {version}; this edgeacts reads {wanted}"
            )
        return record


def to_builtins(value: Any) -> Any:
    """Dicts, lists and scalars of a record, as they go into JSON."""
    return msgspec.to_builtins(value)


# ---- training


class Epoch(Record, frozen=True):
    """One epoch's means; accuracies from 0 to 1, `seconds` of wall time."""

    epoch: int
    train_loss: float | None
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float
    learning_rate: float
    seconds: float


class TrainingRecord(Record, frozen=True, tag_field="kind", tag="training"):
    """What a training run did and reached. `test_interval` is the Wilson 95 % interval of the accuracy."""

    model: str
    width: float
    activation: str
    activation_parameters: dict[str, list[float]]
    data: str
    data_source: str
    classes: tuple[str, ...]
    seed: int
    epochs: tuple[Epoch, ...]
    test_correct: int
    test_total: int
    test_accuracy: float
    test_interval: tuple[float, float]
    parameter_count: int
    seconds: float
    settings: dict[str, str | int | float | bool | None]
    checkpoint: str
    checkpoint_sha256: str
    circumstances: Circumstances
    version: int = 1


# ---- parity


class ParityRow(Record, frozen=True):
    """One comparison: one output of one candidate on one set of inputs.

    `max_error` is the largest absolute difference; `movement` how far the reference's output moves between inputs
    (the standard deviation over inputs, its largest over the output's elements); `relative_error` their quotient.
    """

    candidate: str
    runtime: str
    level: str
    precision: str
    inputs: str
    output: str
    input_count: int
    value_count: int
    max_error: float | None
    movement: float | None
    relative_error: float | None
    allowed_relative_error: float
    predictions_differ: int | None
    predictions_total: int | None
    passed: bool
    reason: str


class Verdict(Record, frozen=True, tag_field="kind", tag="verdict"):
    """Outcome of a parity check: passed only if at least one comparison was made and every one passed."""

    reference: str
    reference_sha256: str
    candidate: str
    candidate_sha256: str
    passed: bool
    summary: str
    rows: tuple[ParityRow, ...]
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


# ---- latency


class LatencySeries(Record, frozen=True):
    """Raw times of one model on one runtime, in nanoseconds, in the order they were taken.

    `executed` says what ran there: provider, precision, threads, runtime version, input shape.
    """

    label: str
    model: str
    model_sha256: str
    runtime: str
    size_bytes: int
    samples_ns: tuple[int, ...]
    median_ns: float
    p95_ns: float
    ratio: float
    executed: dict[str, str | int | float | bool | None]


class LatencyRecord(Record, frozen=True, tag_field="kind", tag="latency"):
    """One interleaved benchmark; `ratio` of each series is its median over the median of the first series of its runtime."""

    series: tuple[LatencySeries, ...]
    warmup_rounds: int
    rounds: int
    threads: int
    batch: int
    seed: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


# ---- export


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
