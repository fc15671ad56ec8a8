"""The runtimes and the small models that tests of `benchmark` measure."""

from pathlib import Path

BOTH = ("onnxruntime", "openvino")


def models(folder: Path, *names: str) -> list[Path]:
    return [folder / f"{name}.onnx" for name in names]
