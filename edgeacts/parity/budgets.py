"""How large an error may be: what the model's own float32 noise, the executed precision and the file's forms account for.

All errors are shares of how far an output moves between inputs. One table of constants, each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edgeacts.records import Budget

# A candidate is one more way to round the same sums. Over networks, activations, seeds and runtimes its error was 0.2 to 2.1
# times the largest of those that are measured here (OpenVINO's almost exactly that of a permuted accumulation). 8 leaves room
# for kernels not yet seen; a planted fault of 1 % lies hundreds of times higher.
NOISE_FACTOR = 8.0

# Half the distance of neighbouring numbers around 1: what one rounding may change.
UNIT_ROUNDOFF = {"f64": 2.0**-53, "f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8, "int8": 2.0**-8}

# Roundings of the result itself, in units of its size: bias, softmax and the last store. It matters where the measured noise
# is zero by luck, as for weights that are powers of two.
LAST_ROUNDINGS = 4.0

# Emulation rounds factors and results of products. Runtimes round at other places too (residual sums, activations), and some
# add up in the lower precision. torch's own bfloat16 run lay at 0.8 to 2.6 times the emulation.
LOWERED_FACTOR = 8.0

# What eight bits may change. Post-training quantization of trained lightweight networks leaves 15 to 25 dB, whose largest error
# among a thousand logits is 0.3 to 0.9 of the movement; a wrong layout, order or sign is two and more.
INT8_SHARE = 1.0

# An 8-bit model may also flip predictions, but when the lower end of the 95 % interval is above this it is another model.
INT8_FLIPS_AT_MOST = 0.05

# The largest error that noise and precision are ever allowed to excuse. Where they would account for more, agreement up to here
# is a pass, and between here and there nobody can tell: blind. 5 % of a standard deviation is what users can still neglect.
DECISIVE = {"f64": 0.05, "f32": 0.05, "f16": 0.1, "bf16": 0.25, "int8": INT8_SHARE}

# A form's error enters at every activation and grows on the way: 6e-6 became 3e-4 of the movement of a trained network's output
# in 35 layers. So much is granted at least.
FORM_GROWTH = 100.0

# In some networks it grows more. That is measured by moving every activation's result up by as much as the bound allows. Mostly
# forms did 0.1 to 1.05 of that; where the moves cancel, as in one of the networks of benchmarks/parity.py, four times as much,
# which is still less than the above.
FORM_FACTOR = 3.0

# What an export grants a form when nothing else is asked for. A file that states more gets no more than this.
FORM_BOUND_AT_MOST = 1e-5

# An output that moves by less than this share of its size is blind: two hundred float32 roundings of it are all its movement.
BLIND = 1e-5

# An output that does not move may still be wrong: by more than so many roundings of its size it is.
STILL_ROUNDINGS = 256.0

COARSEST_FIRST = ("int8", "bf16", "f16", "f32", "f64")


class Limits(NamedTuple):
    """Shares of the movement: up to `passes` an error passes, up to `explained` the model's own noise may be its cause."""

    passes: float
    explained: float


def coarsest(precision: str) -> str:
    """The part of `f32+int8` that decides about errors: `int8`; f32 when none is known."""
    parts = precision.split("+")
    return next((name for name in COARSEST_FIRST if name in parts), "f32")


def make_budget(
    inputs: str,
    output: str,
    precision: str,
    *,
    noise_sources: Mapping[str, float],
    lowered: float | None,
    size: float,
    form_bound: float,
    form_growth: float | None = None,
) -> Budget:
    """The budget of one output on one set of inputs.

    `noise_sources` and `lowered` (the error of the reference itself when emulated in `precision`; None: not known) and `size`
    (the output's largest value) are shares of the movement; `form_growth` is what becomes of a bound, in the same unit (None:
    not known).
    """
    noise = max(noise_sources.values(), default=0.0)
    noise_share = NOISE_FACTOR * noise
    precision_share = LAST_ROUNDINGS * UNIT_ROUNDOFF[precision] * size
    if precision == "int8":
        precision_share = INT8_SHARE
    elif precision in ("bf16", "f16"):
        scaled = noise * UNIT_ROUNDOFF[precision] / UNIT_ROUNDOFF["f32"]
        precision_share += LOWERED_FACTOR * (scaled if lowered is None else lowered)
    form_share = form_bound * max(FORM_GROWTH, FORM_FACTOR * (form_growth or 0.0))
    return Budget(
        inputs=inputs,
        output=output,
        precision=precision,
        noise=noise,
        noise_sources=dict(noise_sources),
        noise_share=noise_share,
        precision_share=precision_share,
        form_share=form_share,
        allowed=min(noise_share + precision_share, DECISIVE[precision]) + form_share,
    )


def limits(budget: Budget) -> Limits:
    """Where an error stops passing, and where it stops being explained by the model's own noise."""
    explained = budget.noise_share + budget.precision_share + budget.form_share
    return Limits(budget.allowed, max(explained, budget.allowed))
