"""Records of time that fit each other: interleaved blocks, A/A floors, and the other modes."""

import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from edgeacts.circumstances import Circumstances
from edgeacts.records import (
    ColdRecord,
    ColdSeries,
    LatencyBlock,
    LatencyRecord,
    LatencySeries,
    MemoryRecord,
    MemorySeries,
    NoiseFloor,
    OperatorTime,
    PacedRecord,
    PacedSeries,
    ProfileRecord,
    ProfileSeries,
    SustainedRecord,
    SustainedSeries,
    ThroughputRecord,
    ThroughputSeries,
)

BLOCKS, RUNS, PROCESSES = 24, 5, 3
BLOCK_NS = 500_000_000
EXECUTED = {
    "provider": "CPUExecutionProvider",
    "precision": "f32",
    "threads": 1,
    "input": "1x3x64x64",
    "accelerated": None,
}
Model = tuple[str, str, str, float]
"""Label, SHA-256, runtime, median in ns."""


def blocks(rng: random.Random) -> tuple[LatencyBlock, ...]:
    return tuple(
        LatencyBlock(
            process=index * PROCESSES // BLOCKS,
            start_ns=index * BLOCK_NS,
            seconds=0.45,
            steal_share=round(rng.uniform(0, 0.02), 4),
            other_share=round(rng.uniform(0, 0.05), 4),
            frequency_mhz=round(rng.uniform(2400, 2500), 1),
            load_average_1min=round(rng.uniform(0.5, 1.5), 2),
        )
        for index in range(BLOCKS)
    )


def raw(
    rng: random.Random, base_ns: float, runs: int = RUNS
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Samples, starts, blocks: log-normal with rare outliers, in time order."""
    samples, starts, of = [], [], []
    for block in range(BLOCKS):
        for run in range(runs):
            noise = rng.lognormvariate(0, 0.03) + (rng.random() < 0.04) * rng.uniform(0.1, 0.7)
            samples.append(round(base_ns * noise))
            starts.append(block * BLOCK_NS + run * (BLOCK_NS // runs))
            of.append(block)
    return tuple(samples), tuple(starts), tuple(of)


def quantiles(samples: Sequence[int]) -> dict[str, float]:
    ordered = sorted(samples)
    return {f"p{q}": float(ordered[round(q / 100 * (len(ordered) - 1))]) for q in (50, 90, 99)}


def series(rng: random.Random, model: Model, baseline_ns: float, **changes: Any) -> LatencySeries:
    label, sha256, runtime, base_ns = model
    samples, starts, of = raw(rng, base_ns)
    middle = float(median(samples))
    ratio = middle / baseline_ns if baseline_ns else 1.0
    half = 0.012 * ratio if baseline_ns else 0.0
    comparison = "baseline"
    if baseline_ns:
        comparison = "slower" if ratio - half > 1 else "faster" if ratio + half < 1 else "cannot tell"
    fields: dict[str, Any] = {
        "label": label, "model": f"{label}.onnx", "model_sha256": sha256, "runtime": runtime, "size_bytes": 9_012_345,
        "samples_ns": samples, "starts_ns": starts, "block_of": of, "median_ns": middle, "quantiles_ns": quantiles(samples),
        "ratio": ratio, "ratio_low": ratio - half, "ratio_high": ratio + half, "comparison": comparison,
        "executed": dict(EXECUTED),
    }  # fmt: skip
    return LatencySeries(**{**fields, **changes})


def floor(
    rng: random.Random, runtime: str, base_ns: float, low: float = 0.991, high: float = 1.012
) -> NoiseFloor:
    samples, starts, of = raw(rng, base_ns)
    return NoiseFloor(
        runtime=runtime, ratio=(low + high) / 2, ratio_low=low, ratio_high=high, samples_ns=samples, starts_ns=starts,
        block_of=of,
    )  # fmt: skip


def latency(
    rng: random.Random,
    models: Sequence[Model],
    circumstances: Circumstances,
    threads: int = 1,
    **changes: Any,
) -> LatencyRecord:
    found: list[LatencySeries] = []
    baselines: dict[str, float] = {}
    for model in models:
        made = series(rng, model, baselines.get(model[2], 0.0))
        baselines.setdefault(model[2], made.median_ns)
        found.append(made)
    fields: dict[str, Any] = {
        "series": tuple(found), "blocks": blocks(rng),
        "noise_floors": tuple(floor(rng, runtime, base) for runtime, base in baselines.items()),
        "processes": PROCESSES, "warmup_rounds": 10, "threads": threads, "batch": 1, "seed": 0, "confidence": 0.95,
        "precision_asked": 0.02, "precision_reached": 0.0123, "budget_s": 60.0, "stopped": "precision", "seconds": 31.0,
        "skipped": {}, "circumstances": circumstances,
    }  # fmt: skip
    return LatencyRecord(**{**fields, **changes})


def subject(model: Model) -> dict[str, Any]:
    label, sha256, runtime, _ = model
    return {
        "label": label,
        "model": f"{label}.onnx",
        "model_sha256": sha256,
        "runtime": runtime,
        "executed": dict(EXECUTED),
    }


def _times(rng: random.Random, base_ns: float, count: int) -> tuple[int, ...]:
    return tuple(round(base_ns * rng.lognormvariate(0, 0.05)) for _ in range(count))


def cold(rng: random.Random, model: Model) -> ColdSeries:
    opening, first = _times(rng, 80e6, 9), _times(rng, 3 * model[3], 9)
    whole = tuple(a + b + c for a, b, c in zip(opening, first, _times(rng, 350e6, 9), strict=True))
    return ColdSeries(
        **subject(model), to_first_result_ns=whole, opening_ns=opening, first_run_ns=first,
        median_to_first_result_ns=float(median(whole)), median_opening_ns=float(median(opening)),
        median_first_run_ns=float(median(first)),
    )  # fmt: skip


def paced(rng: random.Random, model: Model) -> PacedSeries:
    samples = _times(rng, 1.4 * model[3], 90)
    return PacedSeries(
        **subject(model), samples_ns=samples, starts_ns=tuple(i * 33_333_333 for i in range(90)),
        median_ns=float(median(samples)), quantiles_ns=quantiles(samples), unpaced_median_ns=model[3], late=2, frames=90, busy_share=0.0731,
    )  # fmt: skip


def sustained(rng: random.Random, model: Model) -> SustainedSeries:
    windows = tuple(model[3] * (1 + 0.004 * i) * rng.uniform(0.99, 1.01) for i in range(30))
    return SustainedSeries(
        **subject(model), window_s=4.0, window_median_ns=windows, window_runs=(800,) * 30,
        window_frequency_mhz=tuple(2500.0 - 5 * i for i in range(30)), drift=1.081, drift_low=1.071, drift_high=1.0923,
    )  # fmt: skip


def throughput(rng: random.Random, model: Model) -> ThroughputSeries:
    windows = tuple(1.7e9 / model[3] * rng.uniform(0.97, 1.03) for _ in range(12))
    found = sum(windows) / 12
    return ThroughputSeries(
        **subject(model), batch=4, streams=2, window_items_per_s=windows, items_per_s=found,
        items_per_s_low=found * 0.99, items_per_s_high=found * 1.01,
    )  # fmt: skip


def memory(rng: random.Random, model: Model) -> MemorySeries:
    return MemorySeries(
        **subject(model), file_bytes=9_012_345, runtime_resident_bytes=61_000_000, open_resident_bytes=88_500_000, opening_peak_bytes=97_000_000,
        peak_resident_bytes=103_250_000, arena_bytes=None if model[2] == "openvino" else 21_000_000,
    )  # fmt: skip


def profile(rng: random.Random, model: Model) -> ProfileSeries:
    activation = model[0].rpartition("-")[2]
    rows = [
        ("conv0", "Conv", ("features.0.0",), "", 0.41), ("depthwise1", "Conv", ("features.1.0",), activation, 0.13),
        ("act2", "Activation", ("features.2.act",), activation, 0.235), ("add", "Add", (), "", 0.05),
        ("pool", "GlobalAveragePool", ("avgpool",), "", 0.02), ("gemm", "Gemm", ("classifier",), "", 0.155),
    ]  # fmt: skip
    operators = tuple(
        OperatorTime(
            name=name, operator=sort, layers=layers, activation=act, duration_ns=share * model[3], share=share
        )
        for name, sort, layers, act, share in rows
    )
    return ProfileSeries(
        **subject(model),
        operators=operators,
        runs=50,
        total_ns=model[3],
        activation_share=0.235,
        fused_share=0.13,
        whole_run_ns=1.04 * model[3],
        activations=3,
        unaccounted=("features.9.act",),
    )


MAKERS: dict[str, tuple[Callable[[random.Random, Model], Any], Any, dict[str, Any]]] = {
    "cold": (cold, ColdRecord, {"processes": 9}),
    "paced": (paced, PacedRecord, {"rate_hz": 30.0, "threads": 1}),
    "sustained": (sustained, SustainedRecord, {"threads": 1, "batch": 1}),
    "throughput": (throughput, ThroughputRecord, {"threads": 1}),
    "memory": (memory, MemoryRecord, {"threads": 1, "batch": 1}),
    "profile": (profile, ProfileRecord, {"threads": 1, "batch": 1}),
}


def mode(kind: str, rng: random.Random, models: Sequence[Model], circumstances: Circumstances) -> Any:
    """The record of one mode for these models."""
    make, record, fields = MAKERS[kind]
    made = tuple(make(rng, model) for model in models)
    return record(series=made, seconds=12.5, skipped={}, circumstances=circumstances, **fields)
