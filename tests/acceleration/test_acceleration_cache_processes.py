"""Openers of one model in several processes, at once and killed at any moment: none sees half a file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerating import stock_session
from compiled_models import FAST, FEED, entries

pytestmark = pytest.mark.usefixtures("folder")

_OPENERS = f"""
import json, os, random, signal, sys, tempfile, time
from pathlib import Path
import numpy as np
from edgeacts.acceleration import cache, compiling, opening
from edgeacts.runtimes import open_session
{FAST}
model, feed, out = sys.argv[1], dict(np.load(sys.argv[2])), Path(sys.argv[3])

def opener(name, prepare=lambda: None):
    child = os.fork()
    if child:
        return child
    try:
        prepare()
        session = open_session(model, accelerate=True)
        np.save(out / name, session.run(None, feed)[0])
        os._exit(0 if int(session.get_session_options().graph_optimization_level) == 0 else 3)
    finally:
        os._exit(9)

def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
_AT_ONCE = (
    _OPENERS
    + """
read, write = os.pipe()
children = [opener(f"{i}.npy", lambda: (os.close(write), os.read(read, 1))) for i in range(4)]
os.close(read)
os.close(write)  # they start together
print([wait(child) for child in children])
"""
)
_KILLED = (
    _OPENERS
    + """
def dies(owner, name, call):
    real, calls = getattr(owner, name), []
    def patched(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return lambda: setattr(owner, name, patched)

def gone():
    for entry in Path(os.environ["EDGEACTS_CACHE"]).glob("[!.]*"):
        cache.shutil.rmtree(entry)

moments = [
    dies(opening, "compile_model", 1), dies(compiling, "rewrite", 2), dies(opening, "write_entry", 1),
    dies(cache, "_write", 1), dies(os, "fsync", 1), dies(cache, "_write", 2), dies(os, "fsync", 2),
    dies(cache.shutil, "rmtree", 1), dies(Path, "rename", 1), dies(opening, "kernel_options", 1),
]
results = []
for index, prepare in enumerate(moments):
    gone()
    results.append((wait(opener("killed.npy", prepare)), wait(opener(f"{index}.npy"))))
random.seed(0)
for index in range(5):  # at any moment of what takes about a tenth of a second
    gone()
    child = opener("killed.npy")
    time.sleep(random.uniform(0, 0.15))
    os.kill(child, signal.SIGKILL)
    wait(child)
    results.append((-9, wait(opener(f"{index + 20}.npy"))))
print(results)
"""
)


def run_openers(program: str, model: Path, tmp_path: Path) -> Any:
    (tmp_path / "out").mkdir()
    np.savez(tmp_path / "feed.npz", **FEED)
    arguments = [str(model), str(tmp_path / "feed.npz"), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wanted,) = stock_session(model).run(None, FEED)
    outputs = [np.load(p) for p in (tmp_path / "out").iterdir()]
    for output in outputs:
        np.testing.assert_allclose(output, wanted, rtol=0, atol=3e-5 * np.abs(wanted).max())
    return json.loads(done.stdout.replace("(", "[").replace(")", "]")), outputs


def test_openers_at_once(model: Path, folder: Path, tmp_path: Path) -> None:
    codes, outputs = run_openers(_AT_ONCE, model, tmp_path)
    assert codes == [0] * 4
    assert all(np.array_equal(output, outputs[0]) for output in outputs)
    assert len(outputs) == 4
    assert len(entries(folder)) == 1


def test_killed_openers(model: Path, folder: Path, tmp_path: Path) -> None:
    codes, _ = run_openers(_KILLED, model, tmp_path)
    assert codes == [[-9, 0]] * 15
    assert len(entries(folder)) == 1
