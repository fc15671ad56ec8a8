"""A network trained on real digits and exported, in seconds: what tests of whole programs start from."""

from pathlib import Path

from edgeacts.exporting import export_checkpoint
from edgeacts.training import TrainSettings, train

# SqueezeNet has the fewest operators, so torch exports it fastest.
SETTINGS = TrainSettings(
    model="squeezenet1_1",
    activation="tanhexp",
    data="digits",
    image_size=16,
    epochs=4,
    batch_size=32,
    threads=1,  # on a busy machine two wait for each other longer than they save
)


def train_and_export(folder: Path) -> Path:
    """FOLDER with train/checkpoint.*, training.json and export/model.onnx, model.inlined.onnx, their verdict."""
    train(SETTINGS, folder / "train", progress=False)
    result = export_checkpoint(folder / "train" / "checkpoint", folder / "export")
    assert result.verdict.passed, result.verdict.summary
    return folder
