"""The sources of the kernels: all are compiled, and C++ and Python have the same constants."""

import re
import tomllib
from pathlib import Path

from edgeacts import piecewise, quotient

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "edgeacts" / "native"


def test_every_source_is_compiled_and_every_header_is_named() -> None:
    (module,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    assert module["optional"] is True
    for key, patterns in (("sources", ["*.cc"]), ("depends", ["*.h", "*.inc"])):
        tree = {f.relative_to(ROOT).as_posix() for pattern in patterns for f in SOURCES.glob(pattern)}
        assert set(module[key]) == tree
        assert len(module[key]) == len(tree)


def test_both_languages_have_the_same_constants() -> None:
    text = (SOURCES / "table.h").read_text()
    constants = {k: int(v) for k, v in re.findall(r"constexpr \w+ (k\w+) = (\d+);", text)}
    assert constants == {
        "kFormat": piecewise.FORMAT,
        "kWide": piecewise.WIDE_SEGMENTS,
        "kWideDegree": piecewise.WIDE_DEGREE,
        "kNarrow": piecewise.NARROW_SEGMENTS,
        "kNarrowDegree": piecewise.NARROW_DEGREE,
        "kHeader": piecewise._HEADER,
        "kGridHeader": piecewise._GRID_HEADER,
        "kQuotientHeader": quotient.HEADER,
        "kQuotientDegree": quotient.DEGREE,
        "kPowerDegree": quotient.POWER_DEGREE,
        "kPowerQuotientDegree": quotient.POWER_QUOTIENT_DEGREE,
        "kLanes": 8,
    }
    tails = {k: float(v) for k, v in re.findall(r"(Clamp|Flat|Line|Same) = (\d)", text)}
    assert tails == {
        "Clamp": piecewise._CLAMP, "Flat": piecewise._FLAT, "Line": piecewise._LINE, "Same": piecewise._SAME
    }  # fmt: skip
    assert max(piecewise.WIDE_DEGREES) == piecewise.WIDE_DEGREE
