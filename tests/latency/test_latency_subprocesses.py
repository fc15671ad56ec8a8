"""Fresh processes: what they give, what they raise, what they import, and that none is left."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeacts.errors import EdgeactsError, NotAvailable
from edgeacts.latency.subprocesses import Fresh, one_result


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A module `edgeacts.NAME` that only the fresh process finds, with the given source as body of `task(job)`."""
    import edgeacts

    def write(body: str) -> str:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (tmp_path / "mine.py").write_text(f"def task(job):\n{lines}")
        (tmp_path / "sitecustomize.py").write_text(
            f"import edgeacts; edgeacts.__path__.append({str(tmp_path)!r})"
        )
        monkeypatch.setenv(
            "PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(edgeacts.__file__).parents[1])])
        )
        return "edgeacts.mine:task"

    return write


def test_messages_come_in_order_whatever_is_printed(task: Any) -> None:
    name = task("for i in range(job['n']):\n    print('x' * 100_000)\n    yield {'i': i}")
    with Fresh(name, {"n": 5}) as process:
        assert [message["i"] for message in process] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (
            "from edgeacts.errors import NotAvailable\nraise NotAvailable('no GPU')\nyield",
            NotAvailable,
            "no GPU",
        ),
        ("raise ValueError('seven')\nyield", EdgeactsError, "seven"),
        ("import os\nos.kill(os.getpid(), 9)\nyield", EdgeactsError, "ended without a result: signal 9"),
        (
            "import os\nprint('last words', flush=True)\nos._exit(3)\nyield",
            EdgeactsError,
            "exit code 3: last words",
        ),
        ("yield {'a': 1}\nyield {'b': 2}", EdgeactsError, "gave 2 results, one was expected"),
    ],
    ids=["ours", "another's", "killed", "left", "two"],
)
def test_what_goes_wrong_is_told(task: Any, body: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        one_result(task(body), {})


def test_half_a_message_is_none(task: Any) -> None:
    body = "import os, sys\nos.write(int(sys.argv[-1]), b'{\"block\": 1')\nos._exit(1)\nyield"
    with pytest.raises(EdgeactsError, match="ended without a result: exit code 1"):
        one_result(task(body), {})


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the models')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgeactsError, match="has no attribute 'nothing'"):
        one_result("edgeacts.latency.blocks:nothing", {})


def test_leaving_ends_the_process(task: Any) -> None:
    with Fresh(task("import time\nyield {}\ntime.sleep(600)"), {}) as process:
        next(iter(process))
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_only_tasks_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EdgeactsError, match=r"os:listdir is no task of edgeacts"):
        one_result("os:listdir", {})
