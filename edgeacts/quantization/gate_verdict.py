"""held, failed or cannot tell: what a paired drop says about a limit, by how much can be said on so many images.

    held         the whole interval is within the limit
    failed       the whole interval is beyond it, or the drop seen is and the images are enough for it to be no chance
    cannot tell  the interval reaches over the limit: few images, or a drop too near it

Enough are `images_needed` of the share of images on which the models differ: so many would prove a drop of 0 to be within the
limit. With 359 images one is 0.28 points; a limit of half a point is passed by two of them, which is no evidence.
"""

from __future__ import annotations

import math

from edgeacts.errors import UsageError
from edgeacts.quantization.paired import images_needed
from edgeacts.records import GateVerdict, PairedDrop


def check_limit(max_drop: float) -> None:
    """Raise UsageError unless `max_drop` is a limit that images can prove: more than 0 and below 100 points."""
    if not 0 < max_drop < 100:
        raise UsageError(f"max_drop {max_drop}: give points of accuracy, more than 0 and below 100")


def needed_for(drop: PairedDrop, max_drop: float) -> int:
    """Images that would prove a drop of 0, differing as often as was seen, to be within `max_drop` points."""
    return images_needed(max_drop, drop.differing)


def verdict_on(drop: PairedDrop, max_drop: float, *, strict: bool) -> GateVerdict:
    """The verdict on one model; `strict`: what is not proved to hold has failed."""
    shown = drop.verdict(max_drop)
    if shown == "holds":
        return "held"
    if shown == "fails" or strict:
        return "failed"
    if drop.drop > max_drop and drop.total >= needed_for(drop, max_drop):
        return "failed"
    return "cannot tell"


def summarise(drop: PairedDrop, max_drop: float, *, strict: bool, layers: int, tries: int) -> str:
    """One sentence: what came out, on how many images, with how many layers in float, and what would help."""
    verdict, limit = verdict_on(drop, max_drop, strict=strict), f"{max_drop:g} points"
    seen = f"{drop} on {drop.total:,} images with {layers} layer{'' if layers == 1 else 's'} in float"
    if verdict == "held":
        return f"the drop is at most {limit}: {seen}"
    if verdict == "cannot tell":
        return f"{why_not_told(drop, max_drop)}; nothing shows a loss beyond the limit, so it is handed over: {seen}"
    least = images_needed(max_drop)
    if strict and drop.total < least:
        return f"{drop.total:,} images cannot prove a drop of at most {limit}, at least {least:,} are needed: {seen}"
    most = f"after {tries} tries, " if tries > 1 else ""
    said = "proved to be within" if strict and drop.verdict(max_drop) != "fails" else "within"
    return (
        f"{most}the drop is not {said} {limit}: {seen}; fine-tune it with --qat, or allow a larger --max-drop"
    )


def why_not_told(drop: PairedDrop, max_drop: float) -> str:
    """Of the verdict "cannot tell": how many images would tell, or that no number of them is known to."""
    about = needed_for(drop, max_drop)
    what = f"{drop.total:,} images cannot tell whether the drop is at most {max_drop:g} points"
    if drop.total < about:
        return f"{what}, about {rounded_up(about):,} are needed"
    return f"{what}, the one seen is too near that"


def rounded_up(count: int) -> int:
    """With two digits, never fewer: 1,997 -> 2,000."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return math.ceil(count / step) * step
