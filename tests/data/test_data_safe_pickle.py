"""The reader of CIFAR's pickles: what such files hold is read, all else refused, nothing run."""

import os
import pickle
import struct
import time

import numpy as np
import pytest

from edgeacts.data import safe_pickle
from edgeacts.errors import DamagedFile

ARRAY = np.arange(24, dtype=np.uint8).reshape(4, 6)


def python2_text(data: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(data)) + data if len(data) > 255 else b"U" + bytes([len(data)]) + data


def python2_int(value: int) -> bytes:
    return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)


def python2_batch(array: np.ndarray, labels: list[int], fortran: bool = False) -> bytes:
    """What Python 2 wrote for {'data': array, 'labels': labels} with protocol 2, put together by hand."""
    shape = b"".join(python2_int(side) for side in array.shape)
    return b"".join(
        [
            b"\x80\x02}q\x01(", python2_text(b"data"), b"q\x02",
            b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05U\x01bq\x06\x87q\x07Rq\x08",
            b"(K\x01", b"(", shape, b"tq\x0a",
            b"cnumpy\ndtype\nq\x0bU\x02u1q\x0cK\x00K\x01\x87q\x0dRq\x0e(K\x03U\x01|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x10b",
            b"\x88" if fortran else b"\x89", python2_text(array.tobytes("F" if fortran else "C")), b"tq\x11b",
            python2_text(b"labels"), b"]q\x12(", *(python2_int(label) for label in labels), b"eu.",
        ]
    )  # fmt: skip


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("shape", [(4, 6), (3, 300)])
def test_reads_what_python_2_wrote(shape, fortran):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = python2_batch(array, [7, 255, 256, -1], fortran)
    by_pickle = pickle.loads(data, encoding="bytes")  # noqa: S301  # our own bytes: is the test's writer right?
    result = safe_pickle.load(data, "here")
    assert list(result) == list(by_pickle) == [b"data", b"labels"]
    assert result[b"labels"] == by_pickle[b"labels"] == [7, 255, 256, -1]
    np.testing.assert_array_equal(result[b"data"], array)
    np.testing.assert_array_equal(by_pickle[b"data"], array)
    assert result[b"data"].dtype == np.uint8


@pytest.mark.parametrize(
    "value",
    [{"data": ARRAY, "labels": [1, 2]}, ARRAY, [], {}, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), "text",
     b"bytes", 2.5, None, True, [False, 70_000, -5, 2**40], {"a": [{"b": (1, [2])}]}, [[1]] * 3],
    ids=str,
)  # fmt: skip
def test_reads_plain_values_of_python_3(value):
    np.testing.assert_equal(safe_pickle.load(pickle.dumps(value, protocol=3), "here"), value)


class Attack:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"data": ARRAY, "labels": [value]}])
@pytest.mark.parametrize("function", [os.mkdir, eval])
def test_nothing_is_run(tmp_path, protocol, wrap, function):
    target = tmp_path / "made"
    argument = str(target) if function is os.mkdir else f"__import__('os').mkdir({str(target)!r})"
    data = pickle.dumps(wrap(Attack(function, argument)), protocol=protocol)
    with pytest.raises(DamagedFile, match=r"here is not read: .*not allowed; get the binary version"):
        safe_pickle.load(data, "here")
    assert not target.exists()


def global_call(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n)R.".encode()


REFUSED = {
    "os.system": (global_call("posix", "system"), "it names posix.system, which is not allowed"),
    "builtins": (global_call("builtins", "getattr"), "it names builtins.getattr"),
    "dotted": (global_call("numpy", "ndarray.tofile"), "it names numpy.ndarray.tofile"),
    "load": (global_call("numpy", "load"), "it names numpy.load"),
    "ndarray called": (global_call("numpy", "ndarray"), "it calls ndarray for something else"),
    "dtype of nothing": (global_call("numpy", "dtype"), "it calls dtype"),
    "called text": (b"U\x01a)R.", "it calls bytes"),
    "persistent id": (b"U\x01aQ.", "its opcode BINPERSID is not allowed"),
    "instance": (b"(iposix\nsystem\n.", "its opcode INST"),
    "object": (b"(cnumpy\nndarray\no.", "its opcode OBJ"),
    "extension": (b"\x82\x01.", "its opcode EXT1"),
    "stack global": (b"\x8c\x05posix\x8c\x06system\x93.", "its opcode SHORT_BINUNICODE"),
    "object array": (pickle.dumps(np.array([{}], object), 3), "it calls dtype"),
    "wide array": (pickle.dumps(np.zeros(3, np.int64), 3), "it calls dtype"),
    "set state of a name": (b"cnumpy\nndarray\n}b.", "it has a malformed array"),
    "set state of a list": (b"]}b.", "it has a malformed array"),
    "key of tuples": (b"})\x85K\x01s.", "it has a dictionary key that is not text"),
    "append to a dict": (b"}K\x01a.", "it fills a dict as if it were a list"),
    "fill an array": (b"cnumpy.core.multiarray\n_reconstruct\n)RK\x01a.", "it fills a Array"),
    "shape too large": (
        python2_batch(ARRAY, []).replace(b"K\x04K\x06", b"K\x04K\x07"), r"array of shape \(4, 7\) with 24"
    ),
    "negative side": (
        python2_batch(ARRAY, []).replace(b"K\x04K\x06", b"K\x04J\xfa\xff\xff\xff"), "malformed array"
    ),
    "empty": (b"", "it is not a whole pickle"),
    "text": (b"hello", "here is not read"),
    "underflow": (b"\x85.", "it is not a whole pickle"),
    "two values": (b"NN.", "it is not a whole pickle"),
    "no mark": (b"t.", "it is not a whole pickle"),
    "unknown memo": (b"h\x05.", "it is not a whole pickle"),
    "length beyond the end": (b"T\xff\xff\xff\x7fa.", "it is not a whole pickle"),
    "negative length": (b"T\xff\xff\xff\xffa.", "it is not a whole pickle"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses(kind):
    data, message = REFUSED[kind]
    with pytest.raises(DamagedFile, match=message):
        safe_pickle.load(data, "here")


def test_too_many_steps(monkeypatch):
    monkeypatch.setattr(safe_pickle, "MAX_OPCODES", 1000)
    with pytest.raises(DamagedFile, match="it has more than 1,000 steps"):
        safe_pickle.load(b"(" + b"N" * 2000 + b"t.", "here")


def test_a_huge_memo_index_and_doubled_tuples_cost_nothing():
    start = time.monotonic()
    assert safe_pickle.load(b"Nr\xff\xff\xff\xff.", "here") is None  # pickle would allocate gigabytes for it
    doubled = b")" + b"q\x00h\x00\x86" * 200  # 2**200 leaves, if one walked them
    safe_pickle.load(doubled + b".", "here")
    with pytest.raises(DamagedFile, match="key that is not text"):
        safe_pickle.load(b"}" + doubled + b"Ns.", "here")
    assert time.monotonic() - start < 5


def test_every_truncation_is_refused():
    data = python2_batch(ARRAY, [1, 2, 3])
    for length in range(len(data)):
        with pytest.raises(DamagedFile):
            safe_pickle.load(data[:length], "here")


def test_random_damage_is_refused_or_harmless():
    data = python2_batch(ARRAY, [1, 2, 3])
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[position] = rng.integers(0, 256)
        try:
            safe_pickle.load(bytes(damaged), "here")
        except DamagedFile:
            refused += 1
    assert refused > 1000
