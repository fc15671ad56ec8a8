"""A runtime's profile folded back onto the model's layers: where the time goes, and how much of it into activations."""

from edgeacts.latency.profiling.folding import Folded, fold
from edgeacts.latency.profiling.layers import Layer, Layers

__all__ = ["Folded", "Layer", "Layers", "fold"]
