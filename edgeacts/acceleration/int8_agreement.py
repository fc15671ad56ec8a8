"""How an accelerated session's 8-bit values compare with those of ONNX Runtime's own, and how often a step lies between.

The shares are limits for what `benchmarks/int8_steps.py` found on 15 trained networks; a test holds them against its JSON.
"""

from __future__ import annotations

from edgeacts.acceleration.manifest import Manifest

ARISES = 4e-6  # of a layer's values, rounded from float32 instead of from integers
FROM_A_TIE = 1e-4  # steps: so near the middle between two lies a value that comes out as the other one
BEHIND_FLOAT = 5e-5  # of the values that are quantized from what a float32 table gave
_INTEGERS = (
    "With ONNX Runtime's optimizations off, each layer is rounded from float32 instead of from its integer sum: a value within "
    f"{FROM_A_TIE:g} of a step from the middle between two may come out one step apart, at most {1e6 * ARISES:.0f} in a million "
    "(measured on 15 networks); later layers carry such a step on."
)


def agreement(manifest: Manifest) -> str:
    """What is known of the 8-bit values of the session that this manifest is of, in sentences."""
    if manifest.chosen == "stock":
        return f"those of ONNX Runtime at its default level, which runs the model as it is. {_INTEGERS}"
    if manifest.allowed == 0.0:
        return (
            "bit-exact: what ONNX Runtime gives at its default level. Sums are the same integers, rounded once by the same "
            "scales, and tables of bytes were filled by the model's own operators; outputs were compared when it was compiled. "
            + _INTEGERS
        )
    return (
        "bit-exact up to the first layer in float. Float32 tables are within their bounds of its activation, so that behind it a "
        "value that near the middle between two steps may come out one step apart from ONNX Runtime's, at most "
        f"{1e6 * BEHIND_FLOAT:.0f} in a million there; later layers carry such a step on. {_INTEGERS}"
    )
