"""Files -> Evidence: every record below a folder, each with the file and the SHA-256 it came from."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.files import read_bytes
from edgeacts.records import (
    ColdRecord,
    ConformanceRecord,
    DivergenceRecord,
    ExecutedGraph,
    ExportRecord,
    GateRecord,
    LatencyRecord,
    MemoryRecord,
    OpenVinoQuantizationRecord,
    PacedRecord,
    ProfileRecord,
    QatRecord,
    QuantizationRecord,
    Record,
    SaturationRecord,
    SustainedRecord,
    ThroughputRecord,
    TrainingRecord,
    Verdict,
)
from edgeacts.report.consistency import contradiction

KINDS: dict[str, type[Record]] = {
    "training": TrainingRecord,
    "export": ExportRecord,
    "verdict": Verdict,
    "latency": LatencyRecord,
    "divergence": DivergenceRecord,
    "executed": ExecutedGraph,
    "conformance": ConformanceRecord,
    "cold": ColdRecord,
    "paced": PacedRecord,
    "sustained": SustainedRecord,
    "throughput": ThroughputRecord,
    "memory": MemoryRecord,
    "profile": ProfileRecord,
    "quantization": QuantizationRecord,
    "gate": GateRecord,
    "saturation": SaturationRecord,
    "qat": QatRecord,
    "openvino-quantization": OpenVinoQuantizationRecord,
}
WRITTEN_BY = {
    "training": "train",
    "export": "export",
    "verdict": "verify",
    "divergence": "verify --locate",
    "executed": "export --format openvino",
    "conformance": "conformance",
    "quantization": "quantize",
    "gate": "quantize",
    "saturation": "quantize",
    "qat": "quantize --qat",
    "openvino-quantization": "quantize --runtime openvino",
}
"""The verb that writes a kind of record; all others are `bench`'s."""
MAX_ENTRIES = 50_000
MAX_FILES = 5_000
MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 512 * 2**20

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Source:
    """A file that numbers came from; `number` is its place in the report's list, from 1."""

    number: int
    path: str
    kind: str
    sha256: str
    size_bytes: int

    @property
    def short(self) -> str:
        """Relative path and the first eight digits of the hash."""
        return f"{self.path} {self.sha256[:8]}"


@dataclass(frozen=True)
class Sourced(Generic[R]):
    """A record, its file, and the first folder below the root (empty for a file in the root itself)."""

    record: R
    source: Source
    folder: str


@dataclass(frozen=True)
class Problem:
    """Something a reader must know before trusting the numbers: what it concerns, and what is the matter."""

    where: str
    text: str


@dataclass
class Evidence:
    """All records that were found, in the order of their paths."""

    records: list[Sourced[Record]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def of(self, kind: type[R]) -> list[Sourced[R]]:
        """The records of one kind."""
        return [
            Sourced(item.record, item.source, item.folder)
            for item in self.records
            if isinstance(item.record, kind)
        ]


class _Head(msgspec.Struct):
    kind: str = ""
    version: int | None = None


def collect(paths: Sequence[Path]) -> Evidence:
    """Read every record among `paths` (files, or folders that are walked). Damaged ones become problems.

    Raises UsageError when a path does not exist or no record at all was found, and says what was looked for.
    """
    evidence = Evidence()
    hashes: dict[str, str] = {}
    total_bytes = 0
    for count, (root, path) in enumerate(_json_files(paths, evidence)):
        name = path.relative_to(root).as_posix()
        if count >= MAX_FILES or total_bytes >= MAX_TOTAL_BYTES:
            limit = f"{MAX_FILES:,} files or {MAX_TOTAL_BYTES:,} bytes"
            evidence.problems.append(
                Problem(name, f"this file and those after it were not read: more than {limit}")
            )
            break
        try:
            total_bytes += _add(evidence, path, name, hashes)
        except EdgeactsError as error:
            text = str(error).replace(str(path), name).removeprefix("record ").removeprefix(name).strip()
            evidence.problems.append(Problem(name, text))
    if not (evidence.sources or evidence.problems):
        where = ", ".join(str(path) for path in paths) or "no path"
        raise UsageError(
            f'nothing to report in {where}: looked for *.json files with a "kind" of {", ".join(KINDS)}; '
            "they are written by edgeacts run, train, export, verify, quantize, bench and conformance"
        )
    return evidence


def _add(evidence: Evidence, path: Path, name: str, hashes: dict[str, str]) -> int:
    """Read one file, a record or a list of records, into `evidence`; gives the bytes read."""
    data = read_bytes(path, "record", MAX_FILE_BYTES)
    for number, part in enumerate(_parts(data)):
        _add_record(evidence, part, f"{name}#{number + 1}" if part is not data else name, hashes)
    return len(data)


def _parts(data: bytes) -> list[bytes]:
    if not data.lstrip().startswith(b"["):
        return [data]
    try:
        return [bytes(part) for part in msgspec.json.decode(data, type=list[msgspec.Raw])[:MAX_FILES]]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [data]  # whose reading says what is wrong with it


def _add_record(evidence: Evidence, data: bytes, name: str, hashes: dict[str, str]) -> None:
    """JSON of another kind is passed over."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.ValidationError:
        return
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedFile(f"{name} is not valid JSON: {error}") from None
    kind = head.kind
    if kind not in KINDS:
        return
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 in hashes:
        evidence.problems.append(Problem(name, f"is a copy of {hashes[sha256]}; used once"))
        return
    hashes[sha256] = name
    _check_version(KINDS[kind], head, name)
    record = KINDS[kind].from_json(data, name)
    if reason := contradiction(record):
        raise DamagedFile(f"{name} contradicts itself and is not used: {reason}")
    source = Source(len(evidence.sources) + 1, name, kind, sha256, len(data))
    evidence.sources.append(source)
    folder = name.split("/")[0] if "/" in name else ""
    evidence.records.append(Sourced(record, source, folder))


def _check_version(kind: type[Record], head: _Head, name: str) -> None:
    """Raises DamagedFile with the cure: an older record is written again, a newer one needs a newer edgeacts."""
    wanted = kind.__struct_defaults__[-1]
    if head.version is None:
        raise DamagedFile(f"{name} is not a valid {kind.__name__}: it has no version")
    if head.version == wanted:
        return
    verb = WRITTEN_BY.get(head.kind, "bench")
    cure = f"run edgeacts {verb} again" if head.version < wanted else "update edgeacts"
    raise DamagedFile(
        f"{name} is a {kind.__name__} of version {head.version}; this edgeacts reads {wanted}: {cure}"
    )


def _json_files(paths: Sequence[Path], evidence: Evidence) -> Iterator[tuple[Path, Path]]:
    """(root, file) of every JSON file, each once, sorted; single files are relative to `common_root`."""
    seen: set[Path] = set()
    for given in paths:
        if not given.exists():
            raise UsageError(f"{given} does not exist: give a run folder or record files (*.json)")
        folder = given.is_dir()
        root = given if folder else common_root(paths)
        for path in _walk(given, evidence) if folder else [given]:
            resolved = path.resolve()
            if resolved not in seen:
                seen.add(resolved)
                yield root.absolute(), path.absolute()


def common_root(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of `paths`."""
    parents = [path.absolute() if path.is_dir() else path.absolute().parent for path in paths]
    return Path(os.path.commonpath(parents))


def _walk(folder: Path, evidence: Evidence) -> Iterator[Path]:
    """Regular *.json files below `folder`. Links are not followed; those that lead out of it are reported."""
    inside, entries = folder.resolve(), 0
    for directory, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        entries += len(folders) + len(files)
        if entries > MAX_ENTRIES:
            evidence.problems.append(
                Problem(str(folder.name), f"has more than {MAX_ENTRIES:,} entries: the rest was not read")
            )
            return
        links = [Path(directory, name) for name in folders if Path(directory, name).is_symlink()]
        for path in sorted(
            Path(directory, name) for name in files if name.endswith(".json") and name[0] != "."
        ):
            if path.is_symlink():
                links.append(path)
            elif path.is_file():
                yield path
        for link in links:
            if not link.resolve().is_relative_to(inside):
                where = link.relative_to(folder).as_posix()
                evidence.problems.append(Problem(where, "is a symbolic link out of the folder: not followed"))
