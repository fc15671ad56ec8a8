"""What an 8-bit file is compared with: its own record, its own network, files for its own runtime; and whose accuracy it has."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
from run_records import EIGHT, known

from edgeacts.records import OpenVinoQuantizationRecord
from edgeacts.report.int8_ratios import EightTiming, compare, eight_timings
from edgeacts.report.variants import Timing, settings_of

change = msgspec.structs.replace
RELU = "mobilenet_v2-relu-int8"


def timings(int8_folder: Path, runtime: str = "onnxruntime") -> dict[str, EightTiming]:
    variants = list(known(int8_folder).values())
    (setting,) = [s for s in settings_of(variants) if s.runtime == runtime]
    return {one.variant.label: one for one in eight_timings(variants, setting)}


def with_floor(timing: Timing, **changes: Any) -> Timing:
    record = timing.record
    floors = tuple(change(floor, **changes) for floor in record.noise_floors)
    return dataclasses.replace(timing, record=change(record, noise_floors=floors))


def pair(int8_folder: Path) -> tuple[Timing, Timing]:
    """ReLU's 8-bit file and the baseline, ReLU's float file, of one record."""
    own = known(int8_folder)[RELU].timings[0]
    base = next(t for t in known(int8_folder)["mobilenet_v2-relu"].timings if t.record == own.record)
    assert base.series.comparison == "baseline"
    return own, base


def test_the_copy_of_the_baseline_counts_as_a_second_session_of_it(int8_folder: Path) -> None:
    own, base = pair(int8_folder)
    assert own.floor is not None
    doubled = tuple(2 * value for value in own.floor.samples_ns)
    as_is, slower_copy = compare(own, base), compare(with_floor(own, samples_ns=doubled), base)
    assert as_is is not None
    assert slower_copy is not None
    assert slower_copy.interval.ratio < 0.9 * as_is.interval.ratio


def test_a_machine_that_cannot_tell_a_file_from_its_copy_cannot_tell_here(int8_folder: Path) -> None:
    own, base = pair(int8_folder)
    as_is, noisy = compare(own, base), compare(with_floor(own, ratio=2.0), base)
    assert as_is is not None
    assert noisy is not None
    assert (as_is.comparison, noisy.comparison) == ("faster", "cannot tell")
    assert as_is.interval == noisy.interval


def test_the_float_file_is_that_of_the_same_record(int8_folder: Path) -> None:
    """Of two benchmarks with the same files each 8-bit series is held against its own one's float series."""
    before = timings(int8_folder)[EIGHT].over_float
    variants = list(known(int8_folder).values())
    eight = next(v for v in variants if v.label == EIGHT)
    base = next(v for v in variants if v.label == "mobilenet_v2-mish")
    own = eight.timings[0]
    (same,) = [t for t in base.timings if t.record is own.record]
    slow = change(same.series, samples_ns=tuple(10 * value for value in same.series.samples_ns))
    other = dataclasses.replace(same, series=slow, record=change(own.record, seed=1))
    base.timings.insert(0, other)
    (found,) = [one for one in eight_timings(variants, own.setting) if one.variant is eight]
    assert found.over_float == before


def test_relu_is_that_of_the_same_network_and_for_the_same_runtime(int8_folder: Path) -> None:
    variants = list(known(int8_folder).values())
    relu = next(v for v in variants if v.label == RELU)
    eight = next(v for v in variants if v.label == EIGHT)
    setting = eight.timings[0].setting

    def over_relu() -> Any:
        return next(one.over_relu for one in eight_timings(variants, setting) if one.variant is eight)

    assert over_relu() is not None
    relu.model = "squeezenet1_1"
    assert over_relu() is None
    relu.model, kept = eight.model, relu.eight
    relu.eight, relu.openvino = None, next(v.openvino for v in variants if v.openvino)
    assert relu.in_8_bits
    assert over_relu() is None
    relu.eight, relu.openvino = kept, None
    relu.activation = "nish"
    assert over_relu() is None


def test_the_accuracy_for_openvino_is_of_its_own_images_and_of_a_file_that_was_written(
    int8_folder: Path,
) -> None:
    label = f"{EIGHT}-openvino"
    accuracy = known(int8_folder)[label].accuracy
    assert accuracy is not None
    assert (accuracy.correct, accuracy.total, accuracy.share) == (477, 500, 0.954)
    path = int8_folder / "mobilenet_v2-mish" / "quantize" / "openvino-quantization.json"
    change(OpenVinoQuantizationRecord.read(path), xml="").write(path)
    assert known(int8_folder)[label].accuracy is None
