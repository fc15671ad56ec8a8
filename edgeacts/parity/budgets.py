"""How large an error may be, related to how far the output moves between inputs. One table, each number with its reason."""

from __future__ import annotations

# Two float32 programs that sum in another order differ by a few times the rounding of one of them against float64: kernels
# of ONNX Runtime and OpenVINO were seen at up to 8 times torch's own error; 32 leaves room and a planted 1 % fault is far above.
NOISE_FACTOR = 32.0

# Below this, even exact networks differ through the last bit of their largest term.
FLOOR = {"f32": 2e-5, "f16": 1e-2, "bf16": 8e-2}

# More than this is never granted to noise. Networks trained for one epoch, whose outputs hardly move yet, need 6e-3.
NOISE_AT_MOST = 2e-2

# A form's error enters at every activation and grows on the way: 6e-6 became 3e-4 of the output's movement in 35 layers.
FORM_FACTOR = 100.0

# What an export grants a form when nothing else is asked for. A file that states more gets no more than this.
FORM_BOUND_AT_MOST = 1e-5

# An output that moves by less than this share of its size is blind to its input: agreement there means nothing.
BLIND = 1e-5


def allowed_relative_error(precision: str, noise: float, form_bound: float = 0.0) -> float:
    """Largest error allowed, as a share of the output's movement.

    `noise` is the reference's own float32 error on the same inputs, `form_bound` the largest bound of a form in the file.
    """
    granted = min(NOISE_FACTOR * noise, NOISE_AT_MOST)
    return max(FLOOR[precision], granted) + FORM_FACTOR * form_bound
