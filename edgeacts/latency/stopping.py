"""When enough was measured: at the asked-for width of the intervals, or when time or rounds are used up.

Never when a difference becomes significant: who looks after each process and stops at the first that is, will find one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeacts.latency.blocks import LEAST_ROUNDS
from edgeacts.latency.intervals import Interval

LEAST_PROCESSES = 5  # before the width may end it
ROUNDS_A_PROCESS = 20  # when rounds are counted
MOST_PROCESSES = 1000
_SHARE_TO_BEGIN = 0.6  # of a process's time that must be left to start another one


@dataclass(frozen=True)
class Limits:
    """Half width of the intervals as a share, seconds, runs of each model; None where it does not end the measurement."""

    within: float | None
    budget_s: float | None
    rounds: int | None

    def stopped(
        self, intervals: Sequence[Interval], *, processes: int, rounds: int, seconds: float, last_s: float
    ) -> str:
        """`precision`, `rounds`, `time`, or "" to go on; `last_s` is what the last process took."""
        if self.within is not None and processes >= LEAST_PROCESSES and widest(intervals) <= self.within:
            return "precision"
        if self.rounds is not None and rounds > self.rounds - LEAST_ROUNDS:
            return "rounds"  # also when too few are left for a process
        if processes >= MOST_PROCESSES:
            return "time"
        if self.budget_s is not None and seconds + _SHARE_TO_BEGIN * last_s >= self.budget_s:
            return "time"
        return ""

    def rounds_next(self, done: int) -> int | None:
        """Rounds of the next process; all that are left where otherwise too few would remain for one more."""
        if self.rounds is None:
            return None
        left = self.rounds - done
        return left if left < ROUNDS_A_PROCESS + LEAST_ROUNDS else ROUNDS_A_PROCESS


def widest(intervals: Sequence[Interval]) -> float:
    """Half width of the widest interval, as a share."""
    return max(one.half_width for one in intervals)
