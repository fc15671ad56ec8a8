"""What latency.json and parity.json say, as the README's part on measurements.

python benchmarks/measurements.py --into README.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeacts.report.insertion import insert_summary

HERE = Path(__file__).parent


def latency_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what is asked, what was promised, what came out)."""
    bars = found["bars"]
    rows = [
        (
            f"a model against its copy, {bars['aa']['comparisons']} comparisons",
            "at most 5 % false verdicts",
            f"{bars['aa']['false_verdicts']} said faster or slower, {bars['aa']['median_seconds']:.1f} s each",
        ),
        (
            f"a model against one that takes {100 * (found['true_ratio']['ratio'] - 1):.1f} % longer, "
            f"{bars['five']['comparisons']} comparisons",
            "at least 90 % found, within 60 s",
            f"{bars['five']['found_slower_within_60_s']} found, the longest in {bars['five']['longest_seconds']:.1f} s",
        ),
        (
            f"a copy, another process computing from half-way on, {bars['load']['comparisons']} comparisons",
            "no false verdict beyond 5 %",
            f"{bars['load']['false_verdicts']} false verdicts, "
            f"{bars['load']['false_verdicts_beyond_5_percent']} beyond 5 %",
        ),
    ]
    rows += [
        (f"median over that of {row['of']}", "within 5 %", f"{row['ratio']:.3f}")
        for row in found.get("agreement", [])
    ]
    return rows


def parity_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The same of verify."""
    alarms, large = found["false_alarms"], found["mobilenet_v2_224"]
    rows = [
        (
            f"verify on sound trained networks, {alarms['runs']} runs, {alarms['comparisons']:,} comparisons",
            "no false alarm",
            f"{alarms['alarm_count']} false alarms, largest error {alarms['largest_share_of_allowed']:.0%} of what is allowed",
        )
    ]
    if large is not None:
        rows.append(
            (
                f"verify MobileNetV2 at 224 over the whole matrix, {large['comparisons']} comparisons",
                "at most 60 s",
                f"{large['seconds_first']:.0f} s, {large['seconds_again']:.0f} s once the compiled file is cached",
            )
        )
    return rows


def table(latency: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
    """Markdown."""
    found = latency["circumstances"]
    lines = ["| what | bar | measured |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in (*latency_rows(latency), *parity_rows(parity))]
    versions = found["versions"]
    about = f"{found['cpu']}, {found['cpu_count']} cores, ONNX Runtime {versions['onnxruntime']}"
    return "\n".join([*lines, "", f"{about}, OpenVINO {versions['openvino']}."])


def main() -> None:
    """Read both files, print the table, put it into the README."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, help="Markdown file to put the table into")
    arguments = parser.parse_args()
    latency, parity = (json.loads((HERE / f"{name}.json").read_text()) for name in ("latency", "parity"))
    text = table(latency, parity)
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "make bench-measurements", "measurements")


if __name__ == "__main__":
    main()
