import math

import pytest
import torch

from edgeacts.training.schedules import FACTORS, constant, cosine, one_cycle
from edgeacts.training.settings import SCHEDULES


def test_every_schedule_that_can_be_asked_for_exists() -> None:
    assert tuple(FACTORS) == SCHEDULES


def torch_factors(make: object, steps: int) -> list[float]:
    """The learning rates that torch's own scheduler gives, at a peak of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [10, 97, 1000])
def test_one_cycle_is_torchs_one_cycle(steps: int) -> None:
    expected = torch_factors(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=steps, cycle_momentum=False), steps
    )
    assert [one_cycle(t, steps) for t in range(steps)] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 10, 97])
def test_cosine_is_torchs_cosine(steps: int) -> None:
    expected = torch_factors(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps), steps)
    assert [cosine(t, steps) for t in range(steps)] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert cosine(steps, steps) == pytest.approx(0, abs=1e-12)


def test_constant_stays() -> None:
    assert {constant(t, 7) for t in range(9)} == {1.0}


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("name", SCHEDULES)
def test_short_runs_have_usable_rates(name: str, steps: int) -> None:
    factors = [FACTORS[name](t, steps) for t in range(steps + 1)]
    assert all(math.isfinite(f) and 0 <= f <= 1 for f in factors)
    assert max(factors) > 0.3
