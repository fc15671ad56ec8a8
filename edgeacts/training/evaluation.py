"""Right answers on a split, and how sure one can be of their share."""

import torch
from torch import nn

from edgeacts.data.dataset import Split
from edgeacts.preprocessing import Preprocessing
from edgeacts.training.batches import Batches


def evaluate(model: nn.Module, split: Split, preprocessing: Preprocessing) -> tuple[int, int]:
    """(right, all): how many images of `split` have their label as the largest logit, in float32, eval mode.

    The model stays on its device and is left in the mode it was in.
    """
    batches = Batches(split, preprocessing, batch_size=1)
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    batches.place(place, 0, 1)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    correct = 0
    try:
        with torch.inference_mode():
            for index in range(batches.evaluation_steps()):
                images, labels = batches.evaluation(index)
                correct += int((model(images).argmax(1) == labels).sum())
    finally:
        for module, training in modes.items():
            module.training = training
    return correct, len(batches)
