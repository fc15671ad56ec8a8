"""Fitted forms that ship with edgeacts: whole, equal to a fit made anew, and never those of another definition."""

import json
from dataclasses import replace

import pytest

from edgeacts.activations import activation, catalogue
from edgeacts.atoms import X
from edgeacts.errors import DamagedFile
from edgeacts.forms import fitted, generating
from edgeacts.forms.fitted import BOOK, fit_key, shipped_forms
from edgeacts.forms.generating import LEVELS, fitted_anew, generated_forms, subject_of
from edgeacts.numpy_reading import NUMPY

REMAKE = "run `make fitted-forms`"


def test_the_book_holds_the_catalogue_and_nothing_else() -> None:
    keys = {fit_key(a, a.values(), level) for a in catalogue().values() for level in LEVELS}
    assert set(json.loads(BOOK.read_text())) == keys, REMAKE


@pytest.mark.parametrize(("name", "level"), [("hardswish", 1e-5), ("silu", 1e-3), ("leaky_relu", 1e-5)])
def test_a_fit_made_anew_is_the_one_that_ships(name: str, level: float) -> None:
    definition = activation(name)
    shipped = shipped_forms(definition, definition.values(), level)
    assert shipped is not None
    anew = fitted_anew(definition, definition.values(), level)
    assert [one.name for one in shipped] == [one.name for one in anew], REMAKE
    for one, other in zip(shipped, anew, strict=True):
        assert one.program is not None
        assert other.program is not None
        assert one.program.operators() == other.program.operators(), REMAKE
        # How the last digits are rounded, which differs between CPUs, is worth 1e-7.
        assert one.bound == pytest.approx(other.bound, rel=0.05, abs=1e-7), REMAKE


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_what_ships_is_within_its_bound(name: str) -> None:
    definition = activation(name)
    subject = subject_of(definition, definition.values())
    x, scale = subject.scan, subject.scale(subject.scan)
    for level in LEVELS:
        for form in shipped_forms(definition, definition.values(), level) or ():
            assert form.program is not None
            assert form.bound <= level
            y = form.program.run(NUMPY, {"x": x.astype("float32")})
            assert (abs(y - subject(x.astype("float32").astype(float))) / scale).max() <= form.bound, (
                form.name
            )


def test_another_definition_of_that_name_is_fitted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(generating, "fitted_anew", lambda *what: asked.append(what) or ())
    generating._generated.cache_clear()
    try:
        silu = activation("silu")
        assert generated_forms(silu)
        assert not asked
        assert generated_forms(replace(silu, formula=silu.formula + X / 1000, facts=())) == ()
        assert generated_forms(activation("leaky_relu"), {"negative_slope": 0.3}) == ()
        assert len(asked) == 2
    finally:
        generating._generated.cache_clear()


def test_a_damaged_book_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(fitted, "BOOK", tmp_path / "fitted.json")
    silu = activation("silu")
    key = fit_key(silu, silu.values(), 1e-5)
    for text in ("{", json.dumps({key: [{"name": "half"}]})):
        fitted.BOOK.write_text(text)
        fitted._book.cache_clear()
        with pytest.raises(
            DamagedFile, match=r"fitted\.json of edgeacts is damaged .* install edgeacts again"
        ):
            shipped_forms(silu, silu.values(), 1e-5)
    fitted._book.cache_clear()
