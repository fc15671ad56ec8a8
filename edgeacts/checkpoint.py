"""NAME.safetensors (the weights), NAME.json (everything else): a trained model, loaded without pickle."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor, nn

from edgeacts.activations import activation as catalogue_activation
from edgeacts.activations import names as activation_names
from edgeacts.definition import Activation, Trainable
from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.files import read_bytes, write_bytes_atomic
from edgeacts.models import build_model, model_names
from edgeacts.modules import activation_factory
from edgeacts.names import check_name
from edgeacts.preprocessing import Preprocessing
from edgeacts.records import Record

MAX_WEIGHTS_BYTES = 4 * 2**30
MAX_SPEC_BYTES = 16 * 2**20
# A damaged or hostile spec must not make load_checkpoint allocate without bound.
MAX_CLASSES = 1_000_000
SUFFIXES = (".safetensors", ".json")


class CheckpointSpec(Record, frozen=True, tag_field="kind", tag="checkpoint"):
    """What NAME.json says about NAME.safetensors.

    `activation_formula` is the definition's formula as text: a name alone would not show that it has changed.
    `activation_parameters` are the values training began with, `activation_trainable` says which were trained
    and how; trained values are among the weights, place by place.
    `weights_sha256` and `weights_bytes` are filled in by `save_checkpoint`.
    """

    model: str
    width: float
    num_classes: int
    in_channels: int
    small_images: bool
    activation: str
    activation_formula: str
    activation_parameters: dict[str, float]
    activation_trainable: dict[str, Trainable]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    data: str
    metrics: dict[str, float | int | None]
    versions: dict[str, str]
    weights_sha256: str = ""
    weights_bytes: int = 0
    version: int = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded pair: `model` in eval mode with its trained weights, `sha256` and `path` of their file."""

    spec: CheckpointSpec
    model: nn.Module
    sha256: str
    path: Path


def checkpoint_paths(path: Path) -> tuple[Path, Path]:
    """(NAME.safetensors, NAME.json) of NAME, NAME.safetensors or NAME.json."""
    path = Path(path)
    name = path.stem if path.suffix in SUFFIXES else path.name
    return path.with_name(name + SUFFIXES[0]), path.with_name(name + SUFFIXES[1])


def save_checkpoint(path: Path, model: nn.Module, spec: CheckpointSpec) -> Path:
    """Write the pair and return the path of the weights.

    Weights first, JSON with their hash last, each atomically. An older pair of that name is given up before
    the first byte is written, so a pair is whole or absent.
    Raises EdgeactsError when a weight is not finite or the disk refuses.
    """
    weights_path, spec_path = checkpoint_paths(path)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise EdgeactsError(
                f"weight {name} holds values that are not finite: lower the learning rate, train again"
            )
    data = bytes_of_tensors(state)
    spec = msgspec.structs.replace(
        spec, weights_sha256=hashlib.sha256(data).hexdigest(), weights_bytes=len(data)
    )
    _check_spec(spec, "the checkpoint to be written", UsageError)
    spec_path.unlink(missing_ok=True)
    write_bytes_atomic(weights_path, data)
    spec.write(spec_path)
    return weights_path


def load_checkpoint(path: Path, *, activation: Activation | None = None) -> Checkpoint:
    """The model and its spec, checked against the hash; `path` is NAME.safetensors, NAME.json or NAME.

    `activation` is needed when the model was trained with a definition of your own.
    Raises UsageError (a file is missing, an unknown model or activation) or DamagedFile (with the reason).
    """
    weights_path, spec_path = checkpoint_paths(path)
    _check_pair(weights_path, spec_path)
    spec = CheckpointSpec.from_json(read_bytes(spec_path, "checkpoint", MAX_SPEC_BYTES), str(spec_path))
    _check_spec(spec, str(spec_path), DamagedFile)
    check_name(spec.model, model_names(), f"model in {spec_path}:")
    definition = _definition(spec, spec_path, activation)
    tensors = _read_weights(weights_path, spec)
    model = _build(spec, definition, spec_path)
    _check_tensors(model.state_dict(), tensors, weights_path)
    model.load_state_dict(tensors)
    return Checkpoint(spec=spec, model=model.eval(), sha256=spec.weights_sha256, path=weights_path)


def _check_pair(weights_path: Path, spec_path: Path) -> None:
    for present, missing in ((weights_path, spec_path), (spec_path, weights_path)):
        if present.exists() and not missing.exists():
            raise UsageError(f"{present} has no {missing.name} beside it: copy both files, or train again")
    if not weights_path.exists():
        raise UsageError(f"checkpoint {weights_path} does not exist; `edgeacts train` writes one")


def _check_spec(spec: CheckpointSpec, where: str, error: type[EdgeactsError]) -> None:
    if not 1 <= spec.num_classes <= MAX_CLASSES:
        raise error(f"{where}: num_classes is {spec.num_classes}, must be 1 to {MAX_CLASSES:,}")
    if len(spec.classes) != spec.num_classes:
        raise error(f"{where}: {len(spec.classes)} class names for {spec.num_classes} classes")
    if spec.in_channels != spec.preprocessing.channels:
        raise error(
            f"{where}: the model takes {spec.in_channels} channels, "
            f"its preprocessing gives {spec.preprocessing.channels}"
        )
    if not math.isfinite(spec.width) or not all(
        math.isfinite(v) for v in spec.activation_parameters.values()
    ):
        raise error(f"{where}: width and activation parameters must be finite numbers")


def _definition(spec: CheckpointSpec, spec_path: Path, given: Activation | None) -> Activation:
    if given is not None:
        if given.name != spec.activation:
            raise UsageError(
                f"{spec_path} was trained with {spec.activation}, but activation= is {given.name}"
            )
        return given
    if spec.activation not in activation_names():
        raise UsageError(
            f"{spec_path} was trained with activation {spec.activation!r}, y = {spec.activation_formula}, "
            "which is not in the catalogue: pass its definition as activation=; "
            f"the catalogue has: {', '.join(activation_names())}"
        )
    definition = catalogue_activation(spec.activation)
    if str(definition.formula) != spec.activation_formula:
        raise UsageError(
            f"{spec_path} was trained with {spec.activation} = {spec.activation_formula}, but the "
            f"catalogue's is {definition.formula}: pass the definition it was trained with as activation="
        )
    return definition


def _read_weights(path: Path, spec: CheckpointSpec) -> dict[str, Tensor]:
    """The tensors of a file that is as it was written. One read: what is hashed is what is parsed."""
    data = read_bytes(path, "weights", MAX_WEIGHTS_BYTES)
    if len(data) != spec.weights_bytes:
        raise DamagedFile(
            f"{path} has {len(data):,} bytes, its JSON says {spec.weights_bytes:,}: truncated or replaced; "
            "copy both files again or train again"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != spec.weights_sha256:
        raise DamagedFile(
            f"{path} has SHA-256 {digest[:16]}…, its JSON says {spec.weights_sha256[:16]}…: "
            "altered after it was written; copy both files again or train again"
        )
    try:
        return tensors_from_bytes(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise DamagedFile(f"{path} is not a safetensors file: {error}") from None


def _build(spec: CheckpointSpec, definition: Activation, spec_path: Path) -> nn.Module:
    with torch.random.fork_rng(
        devices=[]
    ):  # the initial weights are thrown away; the caller's random state is not
        try:
            return build_model(
                spec.model,
                activation=activation_factory(
                    definition, trainable=spec.activation_trainable, **spec.activation_parameters
                ),
                width=spec.width,
                num_classes=spec.num_classes,
                in_channels=spec.in_channels,
                small_images=spec.small_images,
            )
        except UsageError as error:
            raise DamagedFile(f"{spec_path}: {error}") from None


def _check_tensors(expected: dict[str, Tensor], found: dict[str, Tensor], path: Path) -> None:
    missing, unexpected = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing:
        raise DamagedFile(f"{path} lacks {len(missing)} of the model's tensors, the first is {missing[0]}")
    if unexpected:
        raise DamagedFile(
            f"{path} holds {len(unexpected)} tensors the model does not have, the first is {unexpected[0]}"
        )
    for name, tensor in expected.items():
        for what, wanted, is_ in (
            ("shape", tuple(tensor.shape), tuple(found[name].shape)),
            ("type", tensor.dtype, found[name].dtype),
        ):
            if wanted != is_:
                raise DamagedFile(f"{path}: tensor {name} has {what} {is_}, the model needs {wanted}")
