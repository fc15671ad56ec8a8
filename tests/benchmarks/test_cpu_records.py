"""A benchmark's record of one kind of CPU leaves those of others."""

import json
from pathlib import Path
from typing import Any

import pytest
from cpu_records import kind, put, records


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (["sse4_2", "avx", "avx2", "fma"], "AVX2"),
        (["avx2", "avx512f", "avx512_vnni", "avx512_bf16"], "AVX-512, VNNI, bf16"),
        (["asimd", "asimddp"], "NEON, dot products"),
        ([], "no vectors"),
    ],
)
def test_kinds_are_called_by_their_widest_vectors(features: list[str], words: str) -> None:
    assert kind(features) == words


def test_a_record_replaces_that_of_its_own_kind_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    assert records(path) == {}

    def measured(value: int, *features: str) -> dict[str, Any]:
        return {"value": value, "circumstances": {"cpu_features": list(features)}}

    put(path, measured(1, "avx2"))
    put(path, measured(2, "avx2", "avx512f"))
    every = put(path, measured(3, "avx2"))
    assert {name: record["value"] for name, record in every.items()} == {"AVX-512": 2, "AVX2": 3}
    assert list(every) == ["AVX-512", "AVX2"]
    assert json.loads(path.read_text()) == every == records(path)
