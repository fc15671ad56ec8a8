"""Computed values -> a row of the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeacts.conformance.sweeps import SPECIALS
from edgeacts.conformance.truth import Truth
from edgeacts.conformance.ulps import FLOAT_TYPES, Doubles, FloatType, errors_in_ulp, ulp
from edgeacts.records import ConformanceRow

RECHECKED = 32  # the worst points, which mpmath decides on

Kind = Literal["form", "kernel", "native"]


@dataclass(frozen=True)
class Labels:
    """What a row is about."""

    activation: str
    kind: Kind
    form: str
    dtype: str


@dataclass(frozen=True)
class Computed:
    """What came out for the sweep `x`, and for copies of the SPECIALS, [copies, special]; all in the row's type."""

    x: NDArray[Any]
    y: NDArray[Any]
    specials: NDArray[Any]
    executed_precision: str


def judged(
    labels: Labels,
    computed: Computed,
    truth: Truth,
    expected: Doubles,
    allowed: float | None,
    *,
    strict: bool,
) -> ConformanceRow:
    """The row: pass or fail by `allowed`, without it reported. `strict`: wrong values at NaN, ±inf and ±0 fail too."""
    kind = FLOAT_TYPES[labels.dtype]
    x, got = computed.x.astype(np.float64), computed.y.astype(np.float64)
    errors = errors_in_ulp(got, expected, kind)
    finite = np.isfinite(errors)
    not_finite = int(errors.size - np.count_nonzero(finite))
    compared = errors[finite]
    worst = _worst(x, got, np.where(finite, errors, -1.0), truth, kind)
    scaled = _scaled(x, got, expected, finite, truth)
    specials, wrong = _specials(computed.specials, truth, allowed or kind.unit)
    faults = _faults(not_finite, x[~finite], scaled, allowed, wrong if strict else [])
    return ConformanceRow(
        activation=labels.activation,
        kind=labels.kind,
        form=labels.form,
        dtype=kind.name,  # type: ignore[arg-type]
        executed_precision=computed.executed_precision,
        value_count=errors.size,
        max_ulp=worst[0],
        p999_ulp=float(np.quantile(compared, 0.999, method="higher")) if compared.size else None,
        mean_ulp=float(compared.mean()) if compared.size else None,
        worst_x=worst[1],
        worst_got=worst[2],
        worst_expected=worst[3],
        scaled_error=scaled,
        allowed=allowed,
        not_finite=not_finite,
        specials=specials,
        outcome="reported" if allowed is None else "fail" if faults else "pass",
        reason="; ".join(faults),
    )


def refused(labels: Labels, reason: str) -> ConformanceRow:
    """The row of what the runtime does not run in this type."""
    return ConformanceRow(
        activation=labels.activation,
        kind=labels.kind,
        form=labels.form,
        dtype=labels.dtype,  # type: ignore[arg-type]
        executed_precision="",
        value_count=0,
        max_ulp=None,
        p999_ulp=None,
        mean_ulp=None,
        worst_x=None,
        worst_got=None,
        worst_expected=None,
        scaled_error=None,
        allowed=None,
        not_finite=0,
        specials={},
        outcome="refused",
        reason=reason,
    )


def _worst(
    x: Doubles, got: Doubles, errors: Doubles, truth: Truth, kind: FloatType
) -> tuple[float | None, float | None, float | None, float | None]:
    """(ULP, x, got, expected) of the worst point, the candidates for it evaluated by mpmath."""
    count = min(RECHECKED, errors.size)
    found: tuple[float, int, float] | None = None
    for i in np.argpartition(errors, -count)[-count:]:
        if errors[i] < 0:
            continue
        exact = truth.exact(float(x[i]))
        off = (
            float(abs(exact - got[i]) / ulp(float(exact), kind)) if np.isfinite(got[i]) else float(errors[i])
        )
        if found is None or off > found[0]:
            found = off, int(i), float(exact)
    if found is None:
        return None, None, None, None
    off, at, exact_value = found
    return off, float(x[at]), float(got[at]), exact_value


def _scaled(
    x: Doubles, got: Doubles, expected: Doubles, finite: NDArray[np.bool_], truth: Truth
) -> float | None:
    """The largest |error|/max(1, |x|), by mpmath where it is."""
    usable = finite & np.isfinite(got)
    if not usable.any():
        return None
    errors = np.where(usable, np.abs(np.where(usable, got, 0.0) - expected), 0.0) / np.maximum(1.0, np.abs(x))
    at = int(np.argmax(errors))
    return float(abs(truth.exact(float(x[at])) - got[at]) / max(1.0, abs(float(x[at]))))


def _specials(copies: NDArray[Any], truth: Truth, within: float) -> tuple[dict[str, str], list[str]]:
    """Name -> what came out, with what is right where that differs; and the names where it does."""
    right = truth.values(np.array(list(SPECIALS.values())))
    texts, wrong = {}, []
    for name, column, want in zip(SPECIALS, copies.astype(np.float64).T, right, strict=True):
        texts[name] = " or ".join(sorted({_text(got) for got in column}))
        if not all(_same(float(got), float(want), within) for got in column):
            wrong.append(name)
            texts[name] += f", right: {_text(want + 0.0)}"  # a limit of 0 without its sign
    return texts, wrong


def _same(got: float, want: float, within: float) -> bool:
    if np.isnan(want) or not np.isfinite(want):
        return bool(np.isnan(got) == np.isnan(want) and (np.isnan(want) or got == want))
    return abs(got - want) <= within * max(1.0, abs(want))


def _text(value: Any) -> str:
    return f"{float(value):.6g}"


def _faults(
    not_finite: int, where: Doubles, scaled: float | None, allowed: float | None, wrong: list[str]
) -> list[str]:
    faults = []
    if allowed is not None and not_finite:
        faults.append(f"{not_finite} finite inputs give NaN or infinity, such as x = {where[0]:.6g}")
    if allowed is not None and (scaled is None or not scaled <= allowed):
        off = "nothing was compared" if scaled is None else f"error {scaled:.2g} of max(1, |x|)"
        faults.append(f"{off}, allowed are {allowed:.2g}")
    if wrong:
        faults.append(f"wrong at {', '.join(wrong)}")
    return faults
