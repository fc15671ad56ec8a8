"""Record of how exactly a runtime computes activations."""

from typing import Literal

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record


class ConformanceRow(Record, frozen=True):
    """One way to compute one activation in one dtype, against the mpmath oracle.

    `kind` is what was run: a form of ours, the kernel's table, or the runtime's native operator. `value_count` inputs were
    compared: every finite value of float16 and bfloat16, a sweep of float32 with tails and subnormals. ULP are those of the
    dtype at the oracle's value. `worst_*` is the input with the largest error in ULP. `scaled_error` is the largest
    |error|/max(1, |x|), which is what bounds are stated in; `allowed` the bound with what rounding adds, None where only
    reported. `not_finite` finite inputs gave NaN or infinity; they are in no other number. `specials` maps
    "nan", "+inf", "-inf", "+0", "-0" to what came out, as text, with what is right behind it when that differs.
    """

    activation: str
    kind: Literal["form", "kernel", "native"]
    form: str
    dtype: Literal["float32", "float16", "bfloat16"]
    executed_precision: str
    value_count: int
    max_ulp: float | None
    p999_ulp: float | None
    mean_ulp: float | None
    worst_x: float | None
    worst_got: float | None
    worst_expected: float | None
    scaled_error: float | None
    allowed: float | None
    not_finite: int
    specials: dict[str, str]
    outcome: Literal["pass", "fail", "reported", "refused"]
    reason: str


class ConformanceRecord(Record, frozen=True, tag_field="kind", tag="conformance"):
    """The table of one runtime. `outcome` of a row with a stated bound is pass or fail, otherwise reported.

    An operator of the runtime has a bound where a form of ours is that operator: `form` is then "native Mish". `skipped` are
    types or activations that were not tried at all.
    """

    runtime: str
    runtime_version: str
    rows: tuple[ConformanceRow, ...]
    skipped: dict[str, str]
    seconds: float
    circumstances: Circumstances
    version: int = 1
