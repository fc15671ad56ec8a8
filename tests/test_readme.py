import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeacts.report.insertion import BEGIN, END

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_there_are_programs_to_run() -> None:
    assert len(PYTHON_BLOCKS) == 3


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_the_programs_run_as_they_stand(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.inlined.onnx"))


def test_commands_name_verbs_that_exist() -> None:
    from edgeacts.cli import _VERBS

    verbs = set(re.findall(r"^    edgeacts ([a-z]+)", README, re.MULTILINE))
    assert len(verbs) >= 6
    assert verbs <= set(_VERBS)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^    make ([a-z]+)", README, re.MULTILINE))
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_measured_table_was_written_by_the_command() -> None:
    table = README.split(BEGIN)[1].split(END)[0]
    assert "Written by `edgeacts report" in table
    assert re.search(r"\| .*tanhexp.* \| .* ms .* ms ", table)
