"""What compiled models are judged on: samples that the model itself answers the same when its inputs move a little."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from accelerating import build

from edgeacts.acceleration import rewriting
from edgeacts.acceleration.samples import errors, largest_error, moved_a_little
from edgeacts.piecewise import NUMBERS
from edgeacts.runtimes import open_runtime

pytestmark = pytest.mark.usefixtures("folder")


def folding(factor: float) -> onnx.ModelProto:
    """sin(c·mish(x/4)⁵): a millionth of x moves it by 5c·mish⁵ millionths, a thousand times as much in samples of N(0, 16)."""
    text = """(float[2, 64] x) => (float[2, 64] y) { q = Mul(x, quarter) a = edgeacts.Mish(q) b = Pow(a, five)
        c = Mul(b, by) y = Sin(c) }"""
    return build(text, quarter=np.array(0.25), five=np.array(5.0), by=np.array(factor))


def chosen(model: onnx.ModelProto, path: Path) -> str:
    onnx.save(model, path)
    with open_runtime(path, accelerate=True) as session:
        return str(session.executed()["accelerated"])


def test_a_sample_on_which_the_model_does_not_agree_with_itself_tells_nothing(tmp_path: Path) -> None:
    assert chosen(folding(10.0), tmp_path / "one.onnx").startswith("tables: ")


def test_where_no_sample_tells_anything_all_of_them_count(tmp_path: Path) -> None:
    assert chosen(folding(1e6), tmp_path / "all.onnx").startswith("stock: tables: its outputs differ by ")


def test_a_wrong_table_is_refused_on_the_samples_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = rewriting._attach

    def wrong(node: onnx.NodeProto, name: str, table: Any) -> None:
        right(node, name, table)
        attribute = next(a for a in node.attribute if a.name == name)
        for index in (*range(16, 200), *range(NUMBERS - 22, NUMBERS - 12)):  # of the grids, of the quotient
            attribute.floats[index] *= 1.001

    monkeypatch.setattr(rewriting, "_attach", wrong)
    assert chosen(folding(10.0), tmp_path / "wrong.onnx").startswith("stock: tables: its outputs differ by ")


def test_errors_are_told_sample_by_sample_in_units_of_the_movement_of_all() -> None:
    wanted = [[np.array([0.0, 1.0])], [np.array([4.0, 1.0])]]
    given = [[np.array([0.0, 1.5])], [np.array([5.0, 1.0])]]
    assert errors(wanted, given) == [0.125, 0.25]
    assert largest_error(wanted, given) == 0.25
    assert errors(wanted, [[np.array([0.0, 1.0])], [np.array([4.0, np.nan])]]) == [0.0, np.inf]
    whole = [[np.array([1, 2])], [np.array([3, 4])]]
    assert errors(whole, [[np.array([1, 2])], [np.array([3, 5])]]) == [0.0, np.inf]


def test_only_floats_are_moved_and_by_no_more_than_the_share() -> None:
    feeds = [{"x": np.full(1000, 2.0, np.float32), "n": np.arange(3)}]
    (moved,) = moved_a_little(feeds, 1e-3)
    assert 1e-3 < np.abs(moved["x"] - 2.0).max() <= 2e-3 + 1e-6
    np.testing.assert_array_equal(moved["n"], feeds[0]["n"])
