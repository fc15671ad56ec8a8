"""edgeacts: any pointwise activation, trained, exported to ONNX, proved equal and measured on edge CPUs.

Names are loaded when they are first used: `import edgeacts` imports neither torch nor SymPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeacts.acceleration import accelerate
    from edgeacts.activations import activation
    from edgeacts.checkpoint import load_checkpoint
    from edgeacts.conformance import measure_conformance
    from edgeacts.data import load_dataset
    from edgeacts.definition import Activation, Fact, Form, Parameter, X
    from edgeacts.exporting import export
    from edgeacts.latency import benchmark
    from edgeacts.models import build_model
    from edgeacts.modules import ActivationModule
    from edgeacts.parity import locate, verify
    from edgeacts.preprocessing import Preprocessing
    from edgeacts.quantization import QuantizeSettings, quantize
    from edgeacts.report import build_report
    from edgeacts.runtimes import open_session
    from edgeacts.swapping import swap
    from edgeacts.training import TrainSettings, train

__version__ = "0.1.0"

_HOME = {
    "accelerate": "edgeacts.acceleration",
    "activation": "edgeacts.activations",
    "Activation": "edgeacts.definition",
    "Fact": "edgeacts.definition",
    "Form": "edgeacts.definition",
    "Parameter": "edgeacts.definition",
    "X": "edgeacts.definition",
    "ActivationModule": "edgeacts.modules",
    "swap": "edgeacts.swapping",
    "build_model": "edgeacts.models",
    "load_dataset": "edgeacts.data",
    "Preprocessing": "edgeacts.preprocessing",
    "TrainSettings": "edgeacts.training",
    "train": "edgeacts.training",
    "load_checkpoint": "edgeacts.checkpoint",
    "export": "edgeacts.exporting",
    "open_session": "edgeacts.runtimes",
    "locate": "edgeacts.parity",
    "verify": "edgeacts.parity",
    "measure_conformance": "edgeacts.conformance",
    "benchmark": "edgeacts.latency",
    "QuantizeSettings": "edgeacts.quantization",
    "quantize": "edgeacts.quantization",
    "build_report": "edgeacts.report",
}

__all__ = [
    "Activation",
    "ActivationModule",
    "Fact",
    "Form",
    "Parameter",
    "Preprocessing",
    "QuantizeSettings",
    "TrainSettings",
    "X",
    "__version__",
    "accelerate",
    "activation",
    "benchmark",
    "build_model",
    "build_report",
    "export",
    "load_checkpoint",
    "load_dataset",
    "locate",
    "measure_conformance",
    "open_session",
    "quantize",
    "swap",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgeacts' has no attribute {name!r}")
    from edgeacts.errors import missing_extra

    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error


def __dir__() -> list[str]:
    return sorted(__all__)
