"""`measure_conformance(runtime)`: how exactly a runtime computes activations, in ULP, on every float16 and bfloat16 value."""

from edgeacts.conformance.measure import DTYPES, measure_conformance
from edgeacts.conformance.table import format_conformance

__all__ = ["DTYPES", "format_conformance", "measure_conformance"]
