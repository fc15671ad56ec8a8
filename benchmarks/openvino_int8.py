"""What INT8 costs in OpenVINO, and what was tried. Writes benchmarks/openvino_int8.json and the tables of docs/openvino_int8.md.

    python benchmarks/openvino_int8.py operations forms placements       MobileNetV2, times in one process each
    python benchmarks/openvino_int8.py variants networks                 writes INT8 variants, then times them
    python benchmarks/openvino_int8.py trained --runs DIR                accuracy of DIR/*/export/model.onnx on their data
    python benchmarks/openvino_int8.py tables                            the document anew, from the JSON

Networks have live random weights, 1x3x224x224, batch 1; one thread; everything that is compared runs in turn, in a new random
order each round; ratios are of the 10th percentiles of the same run, which company on the machine disturbs least. `--work DIR`
holds exported networks and variants. The JSON has a record for each kind of CPU, and the document a table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from cpu_records import kind, put, records
from openvino_int8_bodies import FORMS, OPERATIONS, Build
from openvino_int8_tables import write_document

from edgeacts.circumstances import circumstances
from edgeacts.files import write_text_atomic
from edgeacts.interleaving import times_of
from edgeacts.quantization.openvino_choosing import AsExported, fastest, with_verdict
from edgeacts.quantization.openvino_judging import OpenVinoJudge, executed
from edgeacts.quantization.openvino_nncf import load_nncf, quantize_model
from edgeacts.quantization.openvino_saturation import saturates
from edgeacts.quantization.openvino_settings import FUSED_SHARES, OpenVinoSettings
from edgeacts.quantization.openvino_units import Wiring, find_units
from edgeacts.quantization.openvino_variants import Variants
from edgeacts.records import Int8Candidate, Timed, to_builtins
from edgeacts.runtimes.openvino_ir import new_core
from edgeacts.runtimes.openvino_reading import read_file

SIZE, IMAGES = 224, 8
ACTIVATIONS = ("relu", "hardswish", "sau", "silu", "gelu", "mish", "tanhexp", "nish")
NETWORKS = ("mobilenet_v2", "shufflenet_v2", "squeezenet1_1")
PLACED = "tanhexp"  # x·tanh(eˣ): OpenVINO has an operator of Mish, which NNCF leaves whole by itself
OUT = Path(__file__).with_suffix(".json")


def portable(work: Path, network: str, activation: str) -> Path:
    """The exported network, made when it is not there."""
    path = work / f"{network}-{activation}.onnx"
    if not path.exists():
        import torch
        from activations import live

        import edgeacts
        from edgeacts.exporters.to_onnx import to_onnx

        model = live(edgeacts.build_model(network, activation=activation))
        example = torch.zeros(1, 3, SIZE, SIZE)
        to_onnx(model, example, path, input_names=["image"], output_names=["logits"])
    return path


def images(seed: int = 1, count: int = IMAGES) -> np.ndarray:
    """Noise: the networks' weights are random as well."""
    return np.random.default_rng(seed).standard_normal((count, 3, SIZE, SIZE), np.float32)


def compiled(model: Any) -> Any:
    """For batch 1 and one thread, in f32."""
    fixed = model.clone()
    fixed.reshape([1, 3, SIZE, SIZE])
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    return new_core().compile_model(fixed, "CPU", config)


def timed(models: Mapping[Any, Any], seconds: float) -> dict[Any, float]:
    """ms of each compiled model, run in turn: the 10th percentile."""
    import openvino

    calls: dict[Any, Callable[[], object]] = {}
    for name, model in models.items():
        request = model.create_infer_request()
        request.set_tensor(model.inputs[0], openvino.Tensor(images(0, 1)))
        calls[name] = lambda request=request: request.infer(share_outputs=True)
    samples = times_of(calls, least=10, budget_s=seconds, warm_up=2)
    return {name: 1e3 * float(np.percentile(values, 10)) for name, values in samples.items()}


def passes(model: Any) -> int:
    """Elementwise layers that are executed on their own."""
    kinds = [op.get_rt_info()["layerType"].astype(str) for op in model.get_runtime_model().get_ordered_ops()]
    return sum(kind in ("Subgraph", "Eltwise", "Math", "Gather", "FakeQuantize") for kind in kinds)


def bodies(work: Path, trials: Mapping[str, Build], seconds: float) -> list[dict[str, Any]]:
    """Each activation of MobileNetV2 in INT8 replaced by each body, in either placement; ratios are to ReLU's faster one."""
    made = Variants(portable(work, "mobilenet_v2", "relu"), images(), half_range=saturates())
    models = {}
    for placement in made.placements:
        base = made.exported(placement).model
        models["ReLU INT8", placement] = compiled(base)
        for name, build in trials.items():
            model = base.clone()
            wiring = Wiring(model)
            for unit in made.units:
                wiring.replace(unit, build)
            model.validate_nodes_and_infer_types()
            models[name, placement] = compiled(model)
    ms = timed(models, seconds)
    relu = min(value for (name, _), value in ms.items() if name == "ReLU INT8")
    sparse = made.placements[-1]
    least = passes(models["ReLU INT8", sparse])
    return [
        {
            "name": name, "ms": ms[name, sparse], "ratio": ms[name, sparse] / relu,
            "ratio_all": ms[name, "all"] / relu, "passes": passes(models[name, sparse]) - least,
        }
        for name in ("ReLU INT8", *trials)
    ]  # fmt: skip


def placements(work: Path, seconds: float) -> list[dict[str, Any]]:
    """Where quantizers stand, for an activation of several operations: as NNCF puts them, around units, with layers in float."""
    nncf, half = load_nncf(), saturates()
    relu = Variants(portable(work, "mobilenet_v2", "relu"), images(), half_range=half)
    path = portable(work, "mobilenet_v2", PLACED)
    read = read_file(path)
    made = Variants(path, images(), half_range=half)
    units, model = find_units(made.float_model, read.activations), made.float_model
    kinds = {op.get_friendly_name(): op.get_type_name() for op in model.get_ordered_ops()}
    first = next(name for name, kind in kinds.items() if kind == "Convolution")
    last = next(name for name, kind in kinds.items() if kind == "MatMul")

    def around(placement: str, *keep: str) -> Any:
        return quantize_model(
            model, units, images(), placement=placement, half_range=half, keep_float=frozenset(keep)
        )

    dataset = nncf.Dataset([image[None] for image in images()])
    models = {
        "ReLU, float": read_file(portable(work, "mobilenet_v2", "relu")).model,
        "ReLU, all layers": relu.exported("all").model,
        "ReLU, depthwise layers in float": relu.exported("no-depthwise").model,
        "TanhExp, float": model,
        "TanhExp, NNCF as it is": nncf.quantize(model.clone(), dataset, subset_size=IMAGES),
        "TanhExp as units, all layers": around("all"),
        "TanhExp as units, depthwise layers in float": around("no-depthwise"),
        "the same, first layer in float as well": around("no-depthwise", first),
        "the same, classifier in float as well": around("no-depthwise", last),
    }
    found = timed({name: compiled(one) for name, one in models.items()}, seconds)
    relu_ms = min(found["ReLU, all layers"], found["ReLU, depthwise layers in float"])
    own_ms = found["TanhExp, float"]
    return [
        {"name": n, "ms": ms, "ratio": ms / relu_ms, "to_float": ms / own_ms if n.startswith(("TanhExp", "the")) else None}
        for n, ms in found.items()
    ]  # fmt: skip


def variants(work: Path, network: str, activation: str) -> None:
    """Write every variant that `quantize_openvino` would try, with its error, into WORK/NETWORK-ACTIVATION/."""
    folder = work / f"{network}-{activation}"
    if (folder / "candidates.json").exists():
        return
    path = portable(work, network, activation)
    # With random weights a network's noise is as large as its signal: what is acceptable is seen on trained ones (`trained`).
    settings = OpenVinoSettings(extra_noise_db=60.0)
    made, judge = Variants(path, images(), half_range=saturates()), OpenVinoJudge(path, images(2), None)
    candidates: list[Int8Candidate] = []
    for placement in made.placements:
        base = made.exported(placement)
        fused = (made.fused(base, share) for share in FUSED_SHARES)
        for variant in (base, *made.fitted(base, settings.step_shares), *fused, made.with_native(base)):
            if variant is None or (variant is not base and not variant.body and not variant.gates):
                continue
            xml = made.write(variant, folder / f"{len(candidates)}.xml")
            error, _ = judge.judge(xml)
            layers, where = executed(xml, 1)
            one = Int8Candidate(
                name=variant.name, placement=placement, step_share=variant.step_share, polynomials=len(variant.gates),
                form_error=variant.form_error, error=error, accuracy=None, time=None, layers=layers, activations=where,
                size_bytes=xml.with_suffix(".bin").stat().st_size, acceptable=False, why="",
            )  # fmt: skip
            candidates.append(with_verdict(one, AsExported.of(candidates, None, settings)))
    write_text_atomic(folder / "candidates.json", json.dumps(to_builtins(candidates)))


def network_rows(work: Path, network: str, seconds: float) -> list[dict[str, Any]]:
    """Every float model and every variant in one run; the fastest one of each, and the fastest within a step."""
    import msgspec

    models, known = {}, {}
    made = [a for a in ACTIVATIONS if (work / f"{network}-{a}" / "candidates.json").exists()]
    for activation in made:
        models[activation, "float"] = read_file(portable(work, network, activation)).model
        folder = work / f"{network}-{activation}"
        found = msgspec.json.decode((folder / "candidates.json").read_bytes(), type=list[Int8Candidate])
        for index, one in enumerate(found):
            if one.acceptable:
                known[activation, one.name] = one
                models[activation, one.name] = read_file(folder / f"{index}.xml").model
    ms = timed({f"{a}|{n}": compiled(model) for (a, n), model in models.items()}, seconds)
    relu = min(value for key, value in ms.items() if key.startswith("relu|") and key != "relu|float")
    rows = []
    for activation in made:
        own = ms[f"{activation}|float"]
        tried = {}
        for which, name in known:
            if which == activation:
                r = ms[f"{which}|{name}"] / own
                tried[name] = Timed(
                    ratio=r, low=r, high=r, comparison="faster" if r < 1 else "slower", median_ms=r * own
                )
        every = [_with_time(known[activation, n], t) for n, t in tried.items()]
        near, best = fastest([one for one in every if (one.step_share or 0.0) <= 1.0]), fastest(every)
        row = {"network": network, "activation": activation, "float_ms": own} | _told(near, relu)
        row["coarse"] = _told(best, relu) if (best.step_share or 0.0) > 1.0 else None
        rows.append(row | {"tried": {n: t.ratio for n, t in tried.items()}})
    return rows


def _told(one: Int8Candidate, relu_ms: float) -> dict[str, Any]:
    time = one.time
    return {
        "int8_ms": time.median_ms if time else None, "to_float": time.ratio if time else None,
        "to_relu_int8": time.median_ms / relu_ms if time else None, "chosen": one.name,
        "form_error": one.form_error, "sqnr_db": one.error.sqnr_db,
    }  # fmt: skip


def _with_time(one: Int8Candidate, taken: Timed) -> Int8Candidate:
    from msgspec.structs import replace

    return replace(one, time=taken)


def main() -> None:
    """The asked parts, then the JSON and the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+")
    parser.add_argument("--work", type=Path, default=Path("build/openvino_int8"))
    parser.add_argument("--runs", type=Path, help="folder of run folders, for `trained`")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--seconds", type=float, default=40.0, help="of each timing")
    parser.add_argument(
        "--document", type=Path, default=Path(__file__).parents[1] / "docs" / "openvino_int8.md"
    )
    arguments = parser.parse_args()
    about = {"circumstances": to_builtins(circumstances()), "saturates": saturates()}
    record: dict[str, Any] = records(OUT).get(kind(circumstances().cpu_features), {}) | about
    for part in arguments.parts:
        if part == "operations":
            record[part] = bodies(arguments.work, OPERATIONS, arguments.seconds)
        elif part == "forms":
            record[part] = bodies(arguments.work, FORMS, arguments.seconds)
        elif part == "placements":
            record[part] = placements(arguments.work, arguments.seconds)
        elif part == "trained":
            from openvino_int8_trained import accuracy_rows

            record[part] = accuracy_rows(arguments.runs)
        elif part in ("variants", "networks"):
            for network in arguments.networks.split(","):
                if part == "variants":
                    for activation in ACTIVATIONS:
                        variants(arguments.work, network, activation)
                else:
                    record.setdefault(part, {})[network] = network_rows(
                        arguments.work, network, arguments.seconds
                    )
        elif part != "tables":
            parser.error(f"unknown part {part!r}")
    changed = set(arguments.parts) != {"tables"}
    write_document(arguments.document, put(OUT, record) if changed else records(OUT))


if __name__ == "__main__":
    main()
