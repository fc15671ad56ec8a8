"""How often sessions of one INT8 file differ by a step: as written, as ONNX Runtime runs it, accelerated. Writes int8_steps.json.

    python benchmarks/int8_steps.py [--exports DIR] [--into README.md] [--images 32]

Each trained network is quantized as `edgeacts quantize` does it, with 7-bit weights, so that no sum saturates. Every 8-bit tensor
and the logits are compared: ONNX Runtime without its optimizations (QuantizeLinear, operator, DequantizeLinear in float32), at
its default level (integer sums, multiplied and rounded once), and every way of an accelerated session. Further, one layer in
float. DIR holds MODEL-ACTIVATION/export/model.onnx; without it, every network is trained for one epoch first. Nothing is timed. A
network that stands in the JSON already, with so many images, is not measured again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from int8_tensors import as_written, differences, fresh, only_bytes, paired, quantized, values_of, visible
from numpy.typing import NDArray
from trained_networks import DATA, IMAGES, Row, add_options, measured

from edgeacts import native
from edgeacts.acceleration.compiling import kernel_options
from edgeacts.circumstances import circumstances
from edgeacts.data.dataset import ImageDataset
from edgeacts.data.splits import limit
from edgeacts.preprocessing import Preprocessing
from edgeacts.quantization import QuantizeSettings, post_training, quantize_static_units
from edgeacts.quantization.emulation import executed_graph
from edgeacts.quantization.layers import layers_of
from edgeacts.quantization.sessions import input_of
from edgeacts.records import to_builtins
from edgeacts.report.insertion import insert_summary
from edgeacts.shares import wilson_interval

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from accelerating import ways

WAYS = ("none", "activated", "all", "convolutions")
Feeds = Mapping[str, NDArray[Any]]


def measure(path: Path, dataset: ImageDataset, count: int) -> dict[str, Any]:
    """All comparisons for one network, on `count` test images."""
    model = onnx.load(path)
    stated = {p.key: p.value for p in model.metadata_props}["edgeacts.preprocessing"]
    preprocessing = Preprocessing.from_json(stated)
    done = post_training(
        model, preprocessing.normalize(limit(dataset, train=IMAGES).train.images),
        settings=QuantizeSettings(reduce_range="yes"),
    )  # fmt: skip
    images = preprocessing.normalize(limit(dataset, test=count).test.images)
    feeds = {input_of(done.model).name: images}
    first = layers_of(done.calibration.prepared)[0]
    mixed = quantize_static_units(
        done.source, done.calibration, done.settings, keep_float=done.keep_float | frozenset(first.nodes)
    )
    return {
        "network": path.parent.parent.name,
        "images": len(images),
        "float_layers": sorted(done.keep_float),
        **compared(done.model, feeds),
        "one_layer_in_float": {"layer": first.name, **accelerated(mixed, feeds)},
    }


def compared(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Any]:
    """As written against ONNX Runtime's default level, and that against accelerated sessions."""
    output = model.graph.output[0].name
    plain = values_of(model, feeds, as_written(), quantized(model))
    graph = executed_graph(model)
    fused = values_of(graph, feeds, as_written(), visible(graph))
    wanted = only_bytes({name: plain[name] for name in quantized(model)})
    same = paired(only_bytes(fused), wanted)
    return {
        "quantized_tensors": len(wanted),
        "fresh": fresh(model, feeds, same),
        "as_written": {**differences(same, wanted), **logits(fused[output], plain[output])},
        "accelerated": accelerated(model, feeds),
    }


def accelerated(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Any]:
    """Every way to accelerate the file against ONNX Runtime's default level; the largest difference of them all."""
    output = model.graph.output[0].name
    graph = executed_graph(model)
    fused = values_of(graph, feeds, as_written(), visible(graph))
    wanted = only_bytes(fused)
    rows = []
    for built in ways(model, which=WAYS).models.values():
        found = values_of(built, feeds, kernel_options(1), visible(built))
        same = paired(only_bytes(found), wanted)
        rows.append({**differences(same, wanted), **logits(found[output], fused[output])})
    return max(rows, key=lambda row: (row["differing"] / row["values"], row["logits_differing"]))


def logits(found: NDArray[Any], wanted: NDArray[Any]) -> dict[str, Any]:
    """Differences of the outputs, the largest also in units of how far the output moves between images."""
    spread = float(wanted.astype(np.float64).std(axis=0).max())
    return {
        "logits_differing": float(np.mean(found != wanted)),
        "logits_largest": float(np.abs(found - wanted).max()) / spread,
        "answers_differing": float(np.mean(found.argmax(1) != wanted.argmax(1))),
    }


def bounds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all networks: how often a step arises, with its upper 95 % limit in the worst of them, and what becomes of it."""
    arisen = sum(row["fresh"]["differing"] for row in rows)
    values = sum(row["fresh"]["values"] for row in rows)
    mixed = [row["one_layer_in_float"] for row in rows]
    return {
        "values": values,
        "arisen": arisen,
        "arisen_share_upper": max(
            wilson_interval(row["fresh"]["differing"], row["fresh"]["values"])[1] for row in rows
        ),
        "arisen_largest_steps": max(row["fresh"]["largest_steps"] for row in rows),
        "from_a_tie": max(row["fresh"]["from_a_tie"] for row in rows),
        "as_written_worst_tensor": max(row["as_written"]["worst_tensor"] for row in rows),
        "as_written_logits": max(row["as_written"]["logits_largest"] for row in rows),
        "accelerated_differing": sum(row["accelerated"]["differing"] for row in rows),
        "accelerated_logits": max(row["accelerated"]["logits_differing"] for row in rows),
        "mixed_first_tensor": max(row["first_tensor"] for row in mixed),
        "mixed_share": max(row["differing"] / row["values"] for row in mixed),
        "mixed_worst_tensor": max(row["worst_tensor"] for row in mixed),
        "mixed_logits": max(row["logits_largest"] for row in mixed),
    }


def summary(record: Mapping[str, Any]) -> str:
    """The README's table, from the JSON."""
    lines = [
        "| network | 8-bit values | steps that arise, a million | end up different | worst tensor | logits "
        "| accelerated | one layer in float |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in record["networks"]:
        arisen, ends, mixed = row["fresh"], row["as_written"], row["one_layer_in_float"]
        lines.append(
            f"| {row['network']} | {arisen['values']:,} | {1e6 * arisen['differing'] / arisen['values']:.2f} "
            f"| {ends['differing'] / ends['values']:.2%} | {ends['worst_tensor']:.1%} | {ends['logits_largest']:.3f} "
            f"| **{row['accelerated']['differing']}** | {mixed['differing'] / mixed['values']:.2%} |"
        )
    found, all_ = record["circumstances"], record["bounds"]
    lines += [
        "",
        f"{record['images']} test images of {DATA}, 7-bit weights. An accelerated session differs from ONNX Runtime's default "
        f"level in {all_['accelerated_differing']} of all 8-bit values and no logit, whichever kernels it uses. With ONNX "
        "Runtime's optimizations off, each layer is computed in float32 and rounded there instead of as an integer: a value "
        f"within {all_['from_a_tie']:.0e} of a step from the middle between two comes out as the other, in every network "
        f"less often than {1e6 * all_['arisen_share_upper']:.1f} times a million; later layers carry it on (`end up different`; "
        "`logits`: the largest difference over how far a logit moves between images). `one layer in float`: an accelerated "
        "session of the file with its first layer in float, against the default level: float32 tables are within their bound, "
        f"so that a step arises in at most {1e6 * all_['mixed_first_tensor']:.0f} in a million of the values behind that layer. "
        f"ONNX Runtime {found['versions']['onnxruntime']}, {found['cpu']} ({record['isa']}).",
    ]
    return "\n".join(lines)


def record_of(rows: list[Row]) -> dict[str, Any]:
    """What is written of the networks measured so far."""
    return {
        "circumstances": to_builtins(circumstances()),
        "onnxruntime": ort.__version__,
        "isa": native.isa(),
        "images": rows[0]["images"],
        "bounds": bounds(rows),
        "networks": rows,
    }


def main() -> None:
    """Measure every network that is there, write the JSON, and the README's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, Path(__file__).with_suffix(".json"))
    parser.add_argument("--images", type=int, default=32)
    arguments = parser.parse_args()

    def one(path: Path, dataset: ImageDataset) -> Row:
        return measure(path, dataset, arguments.images)

    def kept(row: Row) -> bool:
        return bool(row["images"] == arguments.images)

    text = summary(measured(arguments.out, arguments.exports, one, record_of, kept=kept))
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "python benchmarks/int8_steps.py", "int8-steps")


if __name__ == "__main__":
    main()
