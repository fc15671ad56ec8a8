"""Records of parity: is the exported file the model, and by which error budget was that judged?"""

from typing import Literal

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record

Outcome = Literal["pass", "fail", "blind"]


class Budget(Record, frozen=True):
    """How large an error one output may have on one set of inputs, and of what that is made up.

    All numbers are shares of how far the reference's output moves between inputs. `noise` is the reference's own float32
    noise, the largest of `noise_sources` (what it was measured by: "rounding", "accumulation order", "threads", "batch").
    """

    inputs: str
    output: str
    precision: str
    noise: float
    noise_sources: dict[str, float]
    noise_share: float
    precision_share: float
    form_share: float
    allowed: float


class ParityRow(Record, frozen=True):
    """One comparison: one output of one candidate, as it was executed, on one set of inputs.

    `precision` is what was executed. Errors are absolute: the largest (in input number `worst_input` of the set), the 99.9th
    percentile, the mean. `movement` is how far the reference's output moves between inputs (the standard deviation over inputs,
    its largest over the output's elements); `relative_error` is max_error over movement. `snr_db` is the signal's variation
    over the error's power, None when there is no error. Of the predictions (largest class score) `predictions_differ` of
    `predictions_total` flip, `flip_interval` is the Wilson 95 % interval of that share, `flip_margin` the largest lead, as a
    share of the movement, that the reference's first class had in a flipped one.
    """

    candidate: str
    runtime: str
    level: str
    precision: str
    batch: int
    threads: int
    inputs: str
    output: str
    input_count: int
    value_count: int
    worst_input: int | None
    max_error: float | None
    p999_error: float | None
    mean_error: float | None
    movement: float | None
    relative_error: float | None
    allowed_relative_error: float
    snr_db: float | None
    predictions_differ: int | None
    predictions_total: int | None
    flip_interval: tuple[float, float] | None
    flip_margin: float | None
    outcome: Outcome
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the comparison was made and passed."""
        return self.outcome == "pass"


class Verdict(Record, frozen=True, tag_field="kind", tag="verdict"):
    """Outcome of a parity check: `fail` if one comparison failed, `blind` if an output could be judged nowhere, else `pass`."""

    reference: str
    reference_sha256: str
    candidate: str
    candidate_sha256: str
    outcome: Outcome
    summary: str
    rows: tuple[ParityRow, ...]
    budgets: tuple[Budget, ...]
    skipped: dict[str, str]
    seconds: float
    circumstances: Circumstances
    version: int = 2

    @property
    def passed(self) -> bool:
        """Whether every output was judged at least once in each session, and no comparison failed."""
        return self.outcome == "pass"
