"""Records of what a runtime made of a model."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record


class ExecutedLayer(Record, frozen=True):
    """A layer of the executed graph, in order: its kernel, the precision that computes, and the model's layers in it."""

    name: str
    layer_type: str
    primitive: str
    precision: str
    origins: tuple[str, ...]


class ExecutedActivation(Record, frozen=True):
    """Where an activation of the model runs.

    `fused_into` is the layer (a convolution, say) that it became a part of, "" where it is a layer of its own; `layers` are
    those that it runs in, with `primitive` and `precision` of the last; none: it was folded or is gone.
    """

    name: str
    operator: str
    form: str
    bound: float | None
    fused_into: str
    layers: tuple[str, ...]
    primitive: str
    precision: str


class ExecutedGraph(Record, frozen=True, tag_field="kind", tag="executed"):
    """What a runtime executes for a model in the precision asked for; `forms`: operator -> the form it is computed by."""

    model: str
    model_sha256: str
    runtime: str
    runtime_version: str
    precision_asked: str
    precision: str
    layers: tuple[ExecutedLayer, ...]
    activations: tuple[ExecutedActivation, ...]
    circumstances: Circumstances
    version: int = 1
