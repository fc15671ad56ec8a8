"""The parts of `locate`: bisection over graphs, pairing of values, judgement of one value, the cut file."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from edgeacts.errors import EdgeactsError
from edgeacts.parity.bisecting import Search
from edgeacts.parity.layers import Judgement, Layer, judge, layer
from edgeacts.parity.minimal import cut, write_arrays, write_part
from edgeacts.parity.pairing import distance, pair, same_operator

# ---- bisection


class Looking:
    """Counts looks at a graph given as value -> what it reads, of which some values are bad."""

    def __init__(self, reads: dict[str, Sequence[str]], bad: set[str]) -> None:
        self.reads, self.bad, self.looks = reads, bad, 0

    def ancestors(self, name: str) -> frozenset[str]:
        found = set[str]()
        pending = list(self.reads[name])
        while pending:
            if (n := pending.pop()) not in found:
                found.add(n)
                pending.extend(self.reads[n])
        return frozenset(found)

    def look(self, names: Sequence[str]) -> dict[str, bool]:
        assert names, "a look at nothing"
        self.looks += 1
        return {n: n in self.bad for n in names}

    def search(self, known_bad: str) -> tuple[str, Search]:
        search = Search(list(self.reads), self.ancestors, self.reads.__getitem__, self.look)
        search.bad[known_bad] = True
        return search.first(known_bad), search


@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 100])
def test_a_chain_is_halved(length: int) -> None:
    reads = {f"v{i}": [f"v{i - 1}"] if i else [] for i in range(length)}
    for fault in range(length):
        looking = Looking(reads, {f"v{i}" for i in range(fault, length)})
        found, _ = looking.search(f"v{length - 1}")
        assert found == f"v{fault}"
        assert looking.looks <= math.ceil(math.log2(length)) + 1


@pytest.mark.parametrize("seed", range(30))
def test_a_graph_gives_a_bad_value_with_good_inputs(seed: int) -> None:
    """Whatever the faults, healed or not: what is found is bad and what it is computed from was looked at and is good."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 60))
    reads = {
        f"v{i}": [f"v{j}" for j in {int(j) for j in rng.integers(max(0, i - 6), i, rng.integers(1, 3))}]
        if i
        else []
        for i in range(count)
    }
    last = f"v{count - 1}"
    origin = f"v{rng.integers(0, count)}"
    bad = {n for n in reads if origin in Looking(reads, set()).ancestors(n)} | {origin, last}
    if seed % 3 == 0:  # some heal on the way: nothing is monotonous any more
        bad -= {n for n in bad if n not in (origin, last) and rng.random() < 0.3}
    looking = Looking(reads, bad)
    found, search = looking.search(last)
    assert found in bad
    assert all(search.bad[n] is False for n in reads[found])
    assert not any(n in bad for n in reads[found])
    if seed % 3 and origin in Looking(reads, set()).ancestors(last):
        assert found == origin
    if seed % 3:
        assert looking.looks <= 2 * math.ceil(math.log2(count)) + 2


def test_a_fault_that_heals_in_one_branch_is_found_through_the_other() -> None:
    """d reads b and, through c, b again: c is good, which says nothing of b."""
    reads = {"a": [], "b": ["a"], "c": ["b"], "d": ["c", "b"], "e": ["d"], "f": ["e"]}
    looking = Looking(reads, {"b", "d", "e", "f"})
    found, _ = looking.search("f")
    assert found == "b"


# ---- pairing


def value(name: str, operator: str, array: np.ndarray) -> Layer:
    return layer(name, operator, [np.asarray(array, np.float32)])


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape or (2, 50))


def chain(names: Sequence[str]) -> dict[str, frozenset[str]]:
    return {n: frozenset(names[:i]) for i, n in enumerate(names)}


def test_values_are_recognised_by_what_they_are_whatever_they_are_called() -> None:
    a, b, c = noise(1), noise(2), noise(3)
    ours = [value("one", "Conv", a), value("two", "Relu", b * 1.02), value("three", "Conv", c * 0.9)]
    theirs = [value("x", "Conv2d", a), value("y", "ReLU", b), value("z", "Conv2d", c)]
    above = chain(["one", "two", "three"])
    assert pair(theirs, ours, above.__getitem__, by_name=False) == {"one": "x", "two": "y", "three": "z"}


def test_one_name_with_another_operator_or_shape_is_not_one_value() -> None:
    a, b = noise(1), noise(2)
    ours = [value("v", "Conv", a), value("w", "Relu", b), value("u", "Add", a[:1])]
    theirs = [value("v", "Tanh", noise(7)), value("w", "Relu", noise(8)), value("u", "Add", noise(9))]
    assert pair(theirs, ours, chain(["v", "w", "u"]).__getitem__, by_name=True) == {"w": "w"}


def test_steps_of_another_decomposition_are_not_paired() -> None:
    """Softplus, Tanh, Mul against Min, Exp, Div, Mul: only what goes in and comes out is one value."""
    x = np.random.default_rng(0).uniform(0, 5, (2, 50))
    ours = [
        value("x", "Conv", x),
        value("m", "Min", np.minimum(x, 4.9)),
        value("y", "Mul", np.sin(x)),
        value("z", "Gemm", x * 2),
    ]
    theirs = [
        value("x", "Conv2d", x),
        value("s", "softplus", x * 1.01),
        value("y", "mul", np.sin(x)),
        value("z", "Linear", x * 3),
    ]
    above = chain(["x", "m", "y", "z"])
    assert pair(theirs, ours, above.__getitem__, by_name=False) == {"x": "x", "y": "y", "z": "z"}


def test_order_and_operator_pair_what_a_fault_made_unlike() -> None:
    a, nan = noise(1), np.full((2, 50), np.nan)
    ours = [value("a", "Conv", a), value("b", "Relu", nan), value("c", "Conv", nan), value("d", "Relu", nan)]
    theirs = [
        value("a", "Conv2d", a),
        value("r", "ReLU", noise(2)),
        value("c", "Conv2d", noise(3)),
        value("s", "ReLU", noise(4)),
    ]
    above = chain(["a", "b", "c", "d"])
    assert pair(theirs, ours, above.__getitem__, by_name=False) == {"a": "a", "b": "r", "c": "c", "d": "s"}


def test_equal_values_in_another_order() -> None:
    a, b, c = noise(1), noise(2), noise(3)
    ours = [value("right", "Conv", b), value("left", "Conv", a), value("sum", "Add", c)]
    theirs = [value("l", "Conv2d", a), value("r", "Conv2d", b), value("s", "add", c)]
    above = {"right": frozenset[str](), "left": frozenset[str](), "sum": frozenset({"left", "right"})}
    assert pair(theirs, ours, above.__getitem__, by_name=False) == {"right": "r", "left": "l", "sum": "s"}


def test_distance_has_no_unit_and_no_offset() -> None:
    a = noise(1)
    for scale in (1e-30, 1.0, 1e30):
        one, other = value("a", "", a * scale), value("b", "", a * scale * 1.1)
        assert distance(one, other) == pytest.approx(0.1, rel=0.05)
    shifted = (
        Layer("a", "", (2, 50), np.dtype("f4"), a.ravel() + 1000),
        Layer("b", "", (2, 50), np.dtype("f4"), a.ravel() * 1.1 + 1000),
    )
    assert distance(*shifted) == pytest.approx(0.1, rel=0.05)
    assert distance(value("z", "", np.zeros((2, 3))), value("z", "", np.zeros((2, 3)))) == 0.0
    assert distance(value("z", "", np.zeros((2, 3))), value("z", "", np.ones((2, 3)))) == math.inf


def test_operators_by_their_names_here_and_there() -> None:
    for torch_name, onnx_name in (("Conv2d", "Conv"), ("BatchNorm2d", "Conv"), ("Linear", "Gemm"), ("ReLU6", "Clip"),
                                  ("cat", "Concat"), ("add", "Add"), ("TanhExp", "edgeacts::TanhExp"), ("Conv", "com.microsoft::FusedConv")):  # fmt: skip
        assert same_operator(torch_name, onnx_name) or same_operator(
            onnx_name.rpartition("::")[2], torch_name
        )
    assert not same_operator("Conv2d", "Relu")
    assert not same_operator("Linear", "Conv")


# ---- one value


def verdict(expected: np.ndarray, found: np.ndarray, rounded: np.ndarray | None = None) -> Judgement:
    exact = expected if rounded is None else rounded
    return judge(list(expected), list(exact), list(found), precision="f32", form_bound=0.0)


def test_errors_are_shares_of_the_movement() -> None:
    x = noise(1, 6, 4) + 100
    assert verdict(x, x).outcome == "pass"
    moved = x.std(axis=0).max()
    wrong = x.copy()
    wrong[2, 3] += 1e-3 * moved
    found = verdict(x, wrong)
    assert (found.outcome, found.allowed) == ("fail", 2e-5)
    assert found.relative_error == pytest.approx(1e-3)
    assert found.max_error == pytest.approx(1e-3 * moved)
    assert found.reason == "error 0.001 of its movement, 2e-05 allowed"
    noisy = x.copy()
    noisy[0, 0] += 1e-4 * moved
    assert verdict(x, wrong, noisy).outcome == "pass"  # 32 times the reference's own noise


def test_a_dead_value_is_related_to_its_size() -> None:
    x = np.full((4, 3), 5.0)
    assert verdict(x, x).outcome == "blind"
    assert verdict(x, x * (1 + 1e-6)).outcome == "blind"
    found = verdict(x, x * 1.001)
    assert (found.outcome, found.reason) == (
        "fail",
        "error 0.001 of its size, it hardly moves with the input, 2e-05 allowed",
    )


def test_what_is_not_finite() -> None:
    x = noise(1, 4, 3)
    nan, infinite = x.copy(), x.copy()
    nan[1, 1], infinite[1, 1] = np.nan, -np.inf
    assert verdict(x, nan).reason == "1 of 12 values of the candidate are NaN"
    assert verdict(nan, x).reason == "1 of 12 values of the reference are NaN"
    assert verdict(nan, nan).outcome == "fail"
    assert verdict(infinite, infinite).outcome == "pass"
    assert verdict(infinite, x).reason == "one side is infinite where the other is not"
    assert verdict(infinite, -infinite).outcome == "fail"


def test_integers_shapes_and_nothing() -> None:
    x = np.arange(12).reshape(4, 3)
    assert verdict(x, x).outcome == "pass"
    other = x.copy()
    other[0, 0] = 7
    assert verdict(x, other).reason == "1 of 12 integers differ"
    assert verdict(x, other, other).outcome == "blind"  # the reference's own rounding changes it
    step = x.astype(np.uint8)
    step[3, 2] += 1
    assert verdict(x.astype(np.uint8), step).outcome == "pass"
    step[3, 2] += 1
    assert verdict(x.astype(np.uint8), step).outcome == "fail"
    assert verdict(x, x[:, :2]).reason == "shape [2], the reference has [3]"
    assert verdict(x[:, :0].astype(float), x[:, :0].astype(float)).outcome == "blind"


# ---- the cut file

PART = """<ir_version: 9, opset_import: ["" : 20, "mine" : 1]> g (float[n,4] x) => (float[n,4] y) {
  a = mine.Twice(x)
  b = Mul(a, w)
  c = mine.Four(b)
  y = Add(c, a)
}
<opset_import: ["" : 20], domain: "mine"> Twice (v) => (r) { r = Add(v, v) }
<opset_import: ["" : 20, "mine" : 1], domain: "mine"> Four (v) => (r) { t = mine.Twice(v) r = mine.Twice(t) }
<opset_import: ["" : 20], domain: "mine"> Unused (v) => (r) { r = Neg(v) }
"""


def test_a_part_has_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    model = parser.parse_model(PART)
    for name in ("w", "unused"):
        model.graph.initializer.append(numpy_helper.from_array(np.float32([1, 2, 3, 4]), name))
    model.metadata_props.add(key="k", value="v")
    assert cut(model.graph, "y", {"a", "b"}) == ["b", "a"]
    assert cut(model.graph, "b", {"a"}) == ["a"]
    assert cut(model.graph, "a", set()) == []
    array = np.ones((1, 4), np.float32)
    read = write_part(
        model, tmp_path, tmp_path / "part.onnx", {"b": array, "a": array, "x": array}, {"y": array}
    )
    part = onnx.load(tmp_path / "part.onnx")
    onnx.checker.check_model(part)
    assert sorted(read) == ["a", "b"] == sorted(v.name for v in part.graph.input)
    assert [n.op_type for n in part.graph.node] == ["Four", "Add"]
    assert {f.name for f in part.functions} == {"Twice", "Four"}
    assert not part.graph.initializer
    assert {p.key for p in part.metadata_props} == {"k"}
    write_part(model, tmp_path, tmp_path / "part.onnx", {"a": array}, {"b": array})
    assert [t.name for t in onnx.load(tmp_path / "part.onnx").graph.initializer] == ["w"]
    with pytest.raises(EdgeactsError, match="the part needs input 'x' too, which was not recorded"):
        write_part(model, tmp_path, tmp_path / "part.onnx", {}, {"b": array})


def test_arrays_of_any_name_are_read_back_without_pickle(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "/model/layer.1/Conv_output_0": np.float32([[1.5]]), "é": np.array(True)}
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert set(found.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_arrays(tmp_path / "b.npz", {"o": np.array([{}])})
