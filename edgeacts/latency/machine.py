"""What the machine does while a block is measured: stolen time, other processes, frequency, load; and pinning to cores."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_SYSTEM = Path("/sys/devices/system/cpu")
# Fields of the `cpu` line of /proc/stat, in clock ticks of all cores; what follows them is contained in `user` and `nice`.
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

Circumstance = dict[str, float | None]


@dataclass(frozen=True)
class Reading:
    """Counters at one moment; None where the system does not say."""

    ticks: dict[str, int] | None
    wall_ns: int
    own_ns: int


def read(proc: Path = _PROC) -> Reading:
    """The counters now."""
    return Reading(_ticks(proc), time.perf_counter_ns(), time.process_time_ns())


def between(before: Reading, after: Reading, cores: int | None = None) -> Circumstance:
    """`steal_share` and `other_share` of all cores' time between two readings; ticks of 10 ms make them coarse."""
    nothing: Circumstance = {"steal_share": None, "other_share": None}
    if before.ticks is None or after.ticks is None:
        return nothing
    spent = {name: after.ticks[name] - before.ticks[name] for name in _FIELDS}
    total = sum(spent.values())
    if total <= 0 or min(spent.values()) < 0:
        return nothing
    busy = (total - spent["idle"] - spent["iowait"] - spent["steal"]) / total
    available_ns = (after.wall_ns - before.wall_ns) * (cores or os.cpu_count() or 1)
    own = (after.own_ns - before.own_ns) / available_ns if available_ns > 0 else 0.0
    return {"steal_share": spent["steal"] / total, "other_share": min(1.0, max(0.0, busy - own))}


def _ticks(proc: Path) -> dict[str, int] | None:
    try:
        words = (proc / "stat").read_text().split(maxsplit=len(_FIELDS) + 1)
        if words[0] != "cpu":
            return None
        return dict(zip(_FIELDS, map(int, words[1 : len(_FIELDS) + 1]), strict=True))
    except (OSError, ValueError, IndexError):
        return None


def _governed_mhz(core: int, system: Path) -> float | None:
    try:
        return float((system / f"cpu{core}/cpufreq/scaling_cur_freq").read_text()) / 1000
    except (OSError, ValueError):
        return None


def frequency_mhz(cores: tuple[int, ...] | None, proc: Path = _PROC, system: Path = _SYSTEM) -> float | None:
    """Mean clock frequency of `cores` (None: of all), as the kernel reports it: governors' readings, else /proc/cpuinfo."""
    if governed := [mhz for core in cores or () if (mhz := _governed_mhz(core, system)) is not None]:
        return sum(governed) / len(governed)
    try:
        text = (proc / "cpuinfo").read_text(errors="replace")
    except OSError:
        return None
    found = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([0-9.]+)\s*$", text, re.MULTILINE)]
    wanted = [found[core] for core in cores or () if core < len(found)] or found
    return sum(wanted) / len(wanted) if wanted else None


def load_average() -> float | None:
    """Of the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cores_for(threads: int, process: int) -> tuple[int, ...] | None:
    """As many of this process's cores as there are threads, others in each process; None where that is all or cannot be.

    A thread that the system moves in the middle of a run starts there with cold caches; but one core is not every core, so
    they take turns.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if threads >= len(allowed):
        return None
    first = process * threads
    return tuple(sorted(allowed[(first + k) % len(allowed)] for k in range(threads)))


def pin(cores: tuple[int, ...] | None) -> bool:
    """Keep the calling process, and the threads it starts from now on, on these cores; False where it cannot be."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return False
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return False
    return True
