"""What /proc says, and which cores a process gets."""

import os
from pathlib import Path

import pytest

from edgeacts.latency import machine

STAT = "cpu  {user} 0 100 {idle} 10 0 0 {steal} 5 0\ncpu0 1 2 3\n"


def reading(folder: Path, user: int, idle: int, steal: int, wall_ms: int, own_ms: int) -> machine.Reading:
    (folder / "stat").write_text(STAT.format(user=user, idle=idle, steal=steal))
    found = machine.read(folder)
    return machine.Reading(found.ticks, wall_ms * 10**6, own_ms * 10**6)


def test_shares_between_two_readings(tmp_path: Path) -> None:
    before = reading(tmp_path, 1000, 500, 20, 0, 0)
    after = reading(tmp_path, 1060, 530, 30, 500, 400)  # 100 ticks of 10 ms on two cores
    found = machine.between(before, after, cores=2)
    assert found == {"steal_share": pytest.approx(0.1), "other_share": pytest.approx(0.2)}


def test_more_of_its_own_than_the_ticks_say_is_nobody_elses(tmp_path: Path) -> None:
    before = reading(tmp_path, 1000, 500, 20, 0, 0)
    after = reading(tmp_path, 1010, 590, 20, 500, 300)
    assert machine.between(before, after, cores=2)["other_share"] == 0


@pytest.mark.parametrize("text", [None, "", "no such line", "cpu  1 2 3", "cpu a b c d e f g h"])
def test_none_where_the_system_does_not_say(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text)
    silent = machine.read(tmp_path)
    assert silent.ticks is None
    assert machine.between(silent, silent) == {"steal_share": None, "other_share": None}


def test_counters_that_stand_still_or_run_back_say_nothing(tmp_path: Path) -> None:
    one = reading(tmp_path, 1000, 500, 20, 0, 0)
    back = reading(tmp_path, 900, 700, 20, 500, 0)
    for after in (one, back):
        assert machine.between(one, after) == {"steal_share": None, "other_share": None}


def test_frequency_is_that_of_the_cores_used(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(
        "processor: 0\ncpu MHz\t\t: 2000.5\nprocessor: 1\ncpu MHz\t\t: 3000.5\n"
    )
    assert machine.frequency_mhz((1,), tmp_path, tmp_path) == 3000.5
    assert machine.frequency_mhz(None, tmp_path, tmp_path) == 2500.5
    assert machine.frequency_mhz((7,), tmp_path, tmp_path) == 2500.5
    governor = tmp_path / "cpu1" / "cpufreq"
    governor.mkdir(parents=True)
    (governor / "scaling_cur_freq").write_text("1800250\n")
    assert machine.frequency_mhz((1,), tmp_path, tmp_path) == 1800.25
    assert machine.frequency_mhz((0,), tmp_path, tmp_path) == 2000.5
    (tmp_path / "cpuinfo").write_text("processor: 0\nFeatures: asimd\n")
    assert machine.frequency_mhz((0,), tmp_path, tmp_path) is None
    assert machine.frequency_mhz((0,), tmp_path / "none", tmp_path) is None


def test_processes_take_the_cores_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 2, 3, 7}, raising=False)
    assert [machine.cores_for(1, process) for process in range(5)] == [(2,), (3,), (5,), (7,), (2,)]
    assert [machine.cores_for(3, process) for process in range(3)] == [(2, 3, 5), (2, 3, 7), (2, 5, 7)]
    assert machine.cores_for(4, 0) is None
    assert machine.cores_for(9, 0) is None


def test_pinning_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuses(pid: int, cores: tuple[int, ...]) -> None:
        asked.append((pid, cores))
        if cores == (99,):
            raise OSError("Invalid argument")

    monkeypatch.setattr(os, "sched_setaffinity", refuses, raising=False)
    assert (machine.pin((1,)), machine.pin((99,)), machine.pin(None)) == (True, False, False)
    assert asked == [(0, (1,)), (0, (99,))]
