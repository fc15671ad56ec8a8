"""Benchmarks' JSON with a record for each kind of CPU, called by its vector instructions: one measured anew leaves the others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgeacts.files import write_text_atomic

# What is told of an x86 CPU or an ARM one, in this order; a wider set is told instead of the one that it includes.
_WORDS = (
    ("avx512f", "AVX-512"), ("avx2", "AVX2"), ("sve", "SVE"), ("asimd", "NEON"), ("avx512_vnni", "VNNI"), ("avx_vnni", "VNNI"),
    ("asimddp", "dot products"), ("avx512_bf16", "bf16"), ("bf16", "bf16"), ("amx_int8", "AMX"),
)  # fmt: skip
_WIDTHS = ("AVX-512", "AVX2", "SVE", "NEON")


def kind(features: Iterable[str]) -> str:
    """Words for the CPU's instruction set, such as `AVX-512, VNNI, bf16`."""
    has = set(features)
    words = list(dict.fromkeys(word for feature, word in _WORDS if feature in has))
    widest = next((word for word in words if word in _WIDTHS), "")
    return ", ".join(word for word in words if word not in _WIDTHS or word == widest) or "no vectors"


def records(path: Path) -> dict[str, Any]:
    """Kind of CPU -> what was measured there; {} where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def put(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write the record under its CPU's kind, which its "circumstances" tell, and give all."""
    every = records(path) | {kind(record["circumstances"]["cpu_features"]): dict(record)}
    every = dict(sorted(every.items()))
    write_text_atomic(path, json.dumps(every, indent=1) + "\n")
    return every
