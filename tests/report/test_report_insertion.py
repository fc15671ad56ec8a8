from pathlib import Path

import pytest

from edgeacts.errors import UsageError
from edgeacts.report.insertion import BEGIN, END, insert_summary


def test_replaces_what_stands_between_the_markers_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold numbers\n{END}\nafter\n")
    insert_summary(page, "| new | table |\n", "edgeacts report demo")
    insert_summary(page, "| newer | table |\n", "edgeacts report demo")
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| newer | table |" in text
    assert "`edgeacts report demo`" in text
    assert "old numbers" not in text
    assert "| new |" not in text


@pytest.mark.parametrize("text", ["none", f"{BEGIN}", f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}"])
def test_a_page_without_both_markers_in_order_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(
        UsageError, match="needs the lines <!-- edgeacts:summary --> and <!-- edgeacts:end -->"
    ):
        insert_summary(page, "table", "command")
    assert page.read_text() == text
