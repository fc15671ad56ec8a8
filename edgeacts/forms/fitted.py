"""Forms that ship with edgeacts: those of the catalogue's activations at their default parameters, which take seconds to fit.

{key: forms}, where the key is a hash of all that a fit depends on in the definition: one that has changed is not found, and is
fitted anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeacts.definition import Activation, Form
from edgeacts.errors import DamagedFile
from edgeacts.forms.tuned import program_of, steps_of

BOOK = Path(__file__).with_name("fitted.json")


def fit_key(activation: Activation, values: Mapping[str, float], level: float) -> str:
    """Hash of the formula with these values, the lines and ends that the definition declares, and the error allowed."""
    import sympy

    settled = activation.fix(**values)
    declared = [settled.left, settled.right, settled.saturation]
    told = [sympy.srepr(settled.formula), *(sympy.srepr(sympy.sympify(one)) for one in declared), repr(level)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def shipped_forms(
    activation: Activation, values: Mapping[str, float], level: float
) -> tuple[Form, ...] | None:
    """The forms of exactly this function; None where none ship. Raises DamagedFile."""
    rows = _book().get(fit_key(activation, values, level))
    return None if rows is None else _read(rows)


def to_rows(forms: Sequence[Form]) -> list[dict[str, Any]]:
    """Forms with a program, as they are written."""
    return [
        {
            "name": f.name,
            "bound": f.bound,
            "why": f.why,
            "steps": [list(step) for step in steps_of(f.program)],
        }
        for f in forms
        if f.program is not None
    ]


def _read(rows: Sequence[Mapping[str, Any]]) -> tuple[Form, ...]:
    try:
        return tuple(
            Form(
                row["name"],
                float(row["bound"]),
                row["why"],
                program=program_of(tuple(tuple(step) for step in row["steps"])),
            )
            for row in rows
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{BOOK.name} of edgeacts is damaged ({error}): install edgeacts again") from None


@lru_cache(maxsize=1)
def _book() -> dict[str, list[dict[str, Any]]]:
    try:
        found: dict[str, list[dict[str, Any]]] = json.loads(BOOK.read_text(encoding="utf-8"))
    except FileNotFoundError:  # while the book is being made
        return {}
    except ValueError as error:
        raise DamagedFile(f"{BOOK.name} of edgeacts is damaged ({error}): install edgeacts again") from None
    return found
