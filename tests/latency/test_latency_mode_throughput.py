"""Throughput: calls in threads of their own, rates by window; real sessions with several streams."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgeacts.errors import UsageError
from edgeacts.latency import format_throughput, throughput
from edgeacts.latency.modes.throughput import rates, saturate
from edgeacts.records import ThroughputRecord
from edgeacts.runtimes import open_runtime

RUNTIMES = ("onnxruntime", "accelerated", "openvino")


def test_each_call_has_a_thread_of_its_own_and_every_run_is_counted() -> None:
    counts, names = [0, 0], [set[str](), set[str]()]

    def call(which: int) -> None:
        time.sleep(0.002)
        counts[which] += 1
        names[which].add(threading.current_thread().name)

    ended: list[int] = []
    told = sum(saturate([lambda: call(0), lambda: call(1)], 0.1, ended))
    assert told == pytest.approx(0.1, abs=0.05)
    assert min(counts) >= 1
    assert len(ended) == sum(counts)
    assert ended == sorted(ended)
    assert all(len(one) == 1 for one in names)
    assert names[0] != names[1]


def test_what_a_call_raises_is_raised_at_once() -> None:
    def fails() -> None:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        list(saturate([lambda: time.sleep(0.001), fails], 60, []))


def test_rates_count_what_ended_in_each_window() -> None:
    tenth = 10**8
    assert rates([tenth, 3 * tenth, 5 * tenth, 9 * tenth, 99 * tenth], 1.0, 4) == [20, 20, 20, 0, 20]
    many = rates(list(range(0, 10**9, 10**6)), 1.0, 1)
    assert len(many) == 30
    assert sum(many) / 30 == pytest.approx(1000)
    assert rates([], 1.0, 1) == [0.0] * 5


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_streams_at_once_give_what_one_gives(networks: dict[str, Path], runtime: str) -> None:
    feeds = [
        {"input": np.random.default_rng(seed).standard_normal((1, 3, 12, 12)).astype(np.float32)}
        for seed in range(2)
    ]
    with open_runtime(networks["mish"], runtime) as alone:
        (name,) = [spec.name for spec in alone.outputs]
        wanted = [alone.infer(feed)[name] for feed in feeds]
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-2
    with open_runtime(networks["mish"], runtime, threads=2, streams=2) as session:
        assert session.executed()["streams"] == 2
        calls = [session.bind(feed) for feed in feeds]
        got: list[list[np.ndarray]] = [[], []]

        def work(which: int) -> None:
            for _ in range(50):
                result = calls[which]()
                got[which].append(
                    np.array(next(iter(result.values())) if hasattr(result, "values") else result[0])
                )  # type: ignore[index]

        workers = [threading.Thread(target=work, args=(which,)) for which in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for which in range(2):
        assert len(got[which]) == 50
        for one in got[which]:
            np.testing.assert_allclose(one, wanted[which], rtol=0, atol=1e-5)


def test_throughput_record_of_real_models(networks: dict[str, Path]) -> None:
    record = throughput([networks["mish"]], runtimes=RUNTIMES, threads=2, duration_s=0.2, batch=3)
    assert [s.runtime for s in record.series] == list(RUNTIMES)
    for one in record.series:
        assert (one.batch, one.streams) == (3, 2)
        assert one.executed["streams"] == 2
        assert "[3, 3, 12, 12]" in str(one.executed["inputs"])
        assert len(one.window_items_per_s) >= 5
        assert one.items_per_s_low <= one.items_per_s <= one.items_per_s_high
        assert one.items_per_s == pytest.approx(np.mean(one.window_items_per_s))
    assert record.series[0].executed["threads"] == 1  # two threads shared by two streams
    assert record.series[2].executed["threads"] == 2  # OpenVINO's number is of all streams
    assert ThroughputRecord.from_json(record.to_json()) == record
    lines = format_throughput(record).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[2:4] == ["3", "2"]


def test_streams_without_threads_are_refused(networks: dict[str, Path]) -> None:
    with pytest.raises(
        UsageError, match="3 streams need at least as many threads, 2 given: give 3 threads, or fewer"
    ):
        throughput([networks["mish"]], streams=3, threads=2)
    with pytest.raises(UsageError, match="streams must be an integer from 1 to 4096, got 0"):
        throughput([networks["mish"]], streams=0)
