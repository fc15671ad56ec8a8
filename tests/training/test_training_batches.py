import numpy as np
import pytest
import torch

from edgeacts.data import Augmentation, Split
from edgeacts.errors import UsageError
from edgeacts.preprocessing import Preprocessing
from edgeacts.training.batches import EVALUATION_BATCH, Batches, derived_seed, shift_and_flip

GREY = Preprocessing(channels=1, height=3, width=4, mean=(0.4,), std=(0.3,))
IMAGE = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], dtype=torch.uint8)[None, :, :, None]


def moved(down: int, right: int, flip: bool) -> list[list[int]]:
    result = shift_and_flip(IMAGE, torch.tensor([down]), torch.tensor([right]), torch.tensor([flip]))
    assert result.dtype == torch.uint8
    return result[0, :, :, 0].tolist()


def test_shift_moves_and_fills_with_zero() -> None:
    assert moved(0, 0, False) == IMAGE[0, :, :, 0].tolist()
    assert moved(1, 0, False) == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert moved(-1, 0, False) == [[5, 6, 7, 8], [9, 10, 11, 12], [0, 0, 0, 0]]
    assert moved(0, 2, False) == [[0, 0, 1, 2], [0, 0, 5, 6], [0, 0, 9, 10]]
    assert moved(0, -1, False) == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]]


def test_flip_mirrors_left_and_right() -> None:
    assert moved(0, 0, True) == [[4, 3, 2, 1], [8, 7, 6, 5], [12, 11, 10, 9]]
    assert moved(1, 1, True) == [[0, 0, 0, 0], [3, 2, 1, 0], [7, 6, 5, 0]]


def test_each_image_has_its_own_shift() -> None:
    down, right, flips = torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([True, False])
    both = shift_and_flip(IMAGE.expand(2, -1, -1, -1), down, right, flips)
    assert both[0, :, :, 0].tolist() == moved(0, 0, True)
    assert both[1, :, :, 0].tolist() == moved(1, 0, False)


def split(count: int) -> Split:
    """Image n holds the value n everywhere, so that a batch shows which images are in it."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 4, 1))
    return Split(np.ascontiguousarray(images), np.arange(count, dtype=np.int64))


def batches(count: int = 20, policy: Augmentation | None = None, **changes: int) -> Batches:
    return Batches(split(count), GREY, **{"batch_size": 6, "seed": 3} | changes, augmentation=policy)


def test_normalisation_is_the_preprocessing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 1), dtype=np.uint8)
    data = Batches(Split(images, np.zeros(5, np.int64)), GREY, batch_size=2)
    assert np.array_equal(data.evaluation(0)[0].numpy(), GREY.normalize(images))


def test_an_epoch_takes_each_image_at_most_once_in_an_order_of_its_own() -> None:
    data = batches()
    assert data.training_steps() == 3
    orders = [torch.cat([data.training(epoch, i)[1] for i in range(3)]).tolist() for epoch in range(3)]
    assert all(len(set(order)) == 18 for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_depends_on_seed_epoch_and_index_only() -> None:
    policy = Augmentation(horizontal_flip=True, max_shift=1)
    one, other = batches(policy=policy), batches(policy=policy)
    for epoch, index in ((1, 2), (0, 0), (1, 0)):
        other.training(epoch, index)
    torch.manual_seed(99)
    images, labels = one.training(1, 1)
    again, same = other.training(1, 1)
    assert torch.equal(images, again)
    assert torch.equal(labels, same)
    assert not torch.equal(images, batches(policy=policy, seed=4).training(1, 1)[0])


def test_labels_stay_with_their_images() -> None:
    images, labels = batches().training(0, 0)
    back = (images[:, 0, 0, 0] * 0.3 + 0.4) * 255
    assert back.round().long().tolist() == labels.tolist()


def test_augmentation_obeys_its_policy() -> None:
    images = np.zeros((64, 9, 9, 1), np.uint8)
    images[:, 4, 4] = 255
    images[:, 0, 0] = 255  # the corner shows a flip
    shape = Preprocessing(channels=1, height=9, width=9, mean=(0.0,), std=(1.0,))
    labels = np.zeros(64, np.int64)

    def corners(policy: Augmentation) -> set[tuple[int, int]]:
        data = Batches(Split(images, labels), shape, batch_size=64, augmentation=policy)
        seen = data.training(0, 0)[0][:, 0]
        return {tuple(p) for image in seen for p in image.nonzero().tolist() if tuple(p) != (4, 4)}  # type: ignore[misc]

    assert corners(Augmentation(horizontal_flip=False, max_shift=0)) == {(0, 0)}
    assert corners(Augmentation(horizontal_flip=True, max_shift=0)) == {(0, 0), (0, 8)}
    shifted = corners(Augmentation(horizontal_flip=False, max_shift=1))
    assert {(3, 3), (5, 5), (3, 4), (4, 5)} <= shifted  # the centre went everywhere within reach
    assert all(max(abs(r - 4), abs(c - 4)) <= 1 or max(r, c) <= 1 for r, c in shifted)


def test_a_split_smaller_than_a_batch_is_one_batch() -> None:
    data = batches(count=4)
    assert data.training_steps() == 1
    assert sorted(data.training(0, 0)[1].tolist()) == [0, 1, 2, 3]


def test_evaluation_covers_everything_once_in_order() -> None:
    count = EVALUATION_BATCH + 30
    data = Batches(Split(np.zeros((count, 3, 4, 1), np.uint8), np.arange(count)), GREY, batch_size=2)
    labels = [data.evaluation(i)[1] for i in range(data.evaluation_steps())]
    assert torch.cat(labels).tolist() == list(range(count))


def test_devices_share_the_batches_without_overlap() -> None:
    parts, evaluated = [], []
    for rank in range(2):
        data = batches(count=40)
        data.place(torch.device("cpu"), rank, 2)
        assert data.training_steps() == 3
        parts += [data.training(0, i)[1].tolist() for i in range(3)]
        evaluated += [n for i in range(data.evaluation_steps()) for n in data.evaluation(i)[1].tolist()]
    assert {len(part) for part in parts} == {6}
    assert len({n for part in parts for n in part}) == 36
    assert sorted(evaluated) == list(range(40))


def test_too_few_images_for_the_devices() -> None:
    with pytest.raises(UsageError, match="3 images for 2 devices: at least two are needed for each"):
        batches(count=3).place(torch.device("cpu"), 0, 2)


def test_derived_seeds_differ() -> None:
    seeds = {derived_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125
    assert all(0 <= s < 2**63 for s in seeds)
    assert derived_seed(1, 2) != derived_seed(2, 1)
