"""Tasks in fresh processes: a measurement must not inherit another's memory layout, caches and thread pools.

A task is a generator function of one of our modules, job -> dicts of plain values. `Fresh` starts it in a new Python process
and gives what it yields, as JSON lines over a pipe of its own: what a runtime prints does not disturb it, and nothing is
unpickled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeacts import errors
from edgeacts.errors import EdgeactsError, one_line

Message = dict[str, Any]

_ROOT = Path(__file__).parents[2]
# Not `-m`, which would import what lies in the current folder; our own folder last, for who runs us from a checkout.
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from edgeacts.latency.subprocesses import main; sys.exit(main(sys.argv[1:]))"
)


class Fresh:
    """`with Fresh("edgeacts.latency.modes.tasks:first_result", job) as process: for message in process: ...`.

    Leaving the block ends the process, whatever it does. What the task raises as an EdgeactsError is raised here as the
    same class; a process that dies raises EdgeactsError with the end of what it wrote to stderr.
    """

    def __init__(
        self, task: str, job: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.task = task
        self._printed = tempfile.TemporaryFile()  # a pipe that nobody reads would fill up  # noqa: SIM115
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(_ROOT), task, str(writing)],
                stdin=subprocess.PIPE,
                stdout=self._printed,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                env={**os.environ, **(environment or {})},
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._results = os.fdopen(reading, encoding="utf-8")
        self._send(job)

    @property
    def pid(self) -> int:
        """Process id, as the operating system counts its memory and time under."""
        return self._process.pid

    def _send(self, job: Mapping[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  asked for above
        try:
            stdin.write(json.dumps(job).encode() + b"\n")
            stdin.close()
        except BrokenPipeError:
            return  # it died before it read: __iter__ says why

    def __iter__(self) -> Iterator[Message]:
        for line in self._results:
            try:
                message = json.loads(line)
            except ValueError:  # it died while it wrote
                break
            if "edgeacts_error" in message:
                kind = getattr(errors, message["edgeacts_error"], EdgeactsError)
                raise kind(message["text"])
            if "edgeacts_done" in message:
                return
            yield message
        raise EdgeactsError(f"the process for {self.task} ended without a result: {self._last_words()}")

    def _last_words(self) -> str:
        code = self._process.wait()
        self._printed.seek(max(0, self._printed.seek(0, os.SEEK_END) - 4096))
        lines = [line for line in self._printed.read().decode(errors="replace").splitlines() if line.strip()]
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{ended}{': ' + lines[-1][:300] if lines else ''}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._results.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._printed.close()


def one_result(task: str, job: Mapping[str, Any], *, environment: Mapping[str, str] | None = None) -> Message:
    """The only message of a task. Errors are those of `Fresh`."""
    with Fresh(task, job, environment=environment) as process:
        messages = list(process)
    if len(messages) != 1:
        raise EdgeactsError(f"the process for {task} gave {len(messages)} results, one was expected")
    return messages[0]


def main(argv: Sequence[str]) -> int:
    """In the new process: run the task, write what it yields."""
    from importlib import import_module

    task, descriptor = argv
    module, _, name = task.partition(":")
    if not module.startswith("edgeacts."):
        raise SystemExit(f"{task} is no task of edgeacts")
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as out:

        def send(message: Mapping[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        try:
            for message in getattr(import_module(module), name)(json.loads(sys.stdin.readline())):
                send(message)
            send({"edgeacts_done": True})
        except EdgeactsError as error:
            send({"edgeacts_error": type(error).__name__, "text": str(error)})
        except BrokenPipeError:
            return 1  # whoever asked has gone
        except (
            Exception
        ) as error:  # of a runtime, or a fault of ours: told in one line, the traceback on stderr
            import traceback

            traceback.print_exc()
            send({"edgeacts_error": "EdgeactsError", "text": one_line(error)})
    return 0
