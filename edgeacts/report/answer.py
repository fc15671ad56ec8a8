"""The answer first: a headline, the sentences under it, and the summary table.

They claim no more than the intervals allow: what overlaps is not ranked, neither accuracies nor latencies.
"""

from collections.abc import Mapping, Sequence

from edgeacts.report.accuracies import Accuracy
from edgeacts.report.cells import (
    Cell,
    Table,
    figure,
    interval,
    latency_interval,
    milliseconds,
    percent,
    share_cell,
    time_cell,
    times,
    times_interval,
)
from edgeacts.report.cost import timed_in
from edgeacts.report.parity import comparisons, parity_cell, parity_outcome
from edgeacts.report.variants import Setting, Timing, Variant, measured_accuracies, short_names

MAX_SETTINGS = 4
"""Latency columns of the summary; further settings have their own tables below."""
MAX_NAMES = 8


def headline(variants: Sequence[Variant], settings: Sequence[Setting]) -> str:
    """One sentence: what is the most accurate, what it costs, and what this run cannot tell apart from it."""
    names, ranked = short_names(variants), _ranked(variants)
    if any(parity_outcome(variant) == "fail" for variant in variants) and not ranked:
        return _parity_words(variants, names)
    if not ranked:
        return _fastest(variants, settings[0], names) if settings else _parity_words(variants, names)
    (best, record), tied = ranked[0], [variant for variant, _ in _tied(ranked)]
    first = f"{names[best.label]} is the most accurate ({percent(record.share)})"
    timing = best.timing(settings[0]) if settings else None
    if timing is None:
        return f"{first}."
    runtime, cost = timing.setting.runtime_name, milliseconds(timing.series.median_ns)
    timed = [(t, variant) for variant in tied if (t := variant.timing(timing.setting))]
    fast, fastest = min(timed, key=lambda pair: pair[0].series.median_ns)
    if fastest is best or not apart(fast, timing):
        rank = "" if len(tied) == 1 else "; of those it cannot be told apart from, none is clearly faster"
        return f"{first} and takes {cost} on {runtime}{rank}."
    return (
        f"{first}, but this run cannot tell it apart from {names[fastest.label]}, which takes "
        f"{milliseconds(fast.series.median_ns)} instead of {cost} on {runtime}."
    )


def sentences(variants: Sequence[Variant], settings: Sequence[Setting]) -> list[str]:
    """What stands behind the headline: accuracy, cost per setting, parity."""
    names, ranked = short_names(variants), _ranked(variants)
    told = []
    if len(ranked) > 1:
        (best, record), others = ranked[0], len(ranked) - 1
        tied = len(_tied(ranked)) - 1
        share = "all" if tied == others else f"{tied} of the {others}"
        told.append(
            f"{names[best.label]} has the highest test accuracy ({percent(record.share)}); "
            + (
                f"the intervals of {share} others reach into its own, so this run does not rank them."
                if tied
                else "the intervals of all others end below its own."
            )
        )
    told += [_fastest(variants, setting, names) for setting in settings[:MAX_SETTINGS]]
    if any(variant.verdicts for variant in variants) or ranked or settings:
        told.append(_parity_words(variants, names))
    return told


Ranked = Sequence[tuple[Variant, Accuracy]]


def _ranked(variants: Sequence[Variant]) -> Ranked:
    """Variants of known accuracy, the most accurate first; failed parity or a failed gate rules a variant out."""
    items = [
        (v, a) for v, a in measured_accuracies(variants) if parity_outcome(v) != "fail" and not a.refused
    ]
    return sorted(items, key=lambda pair: -pair[1].share)


def _tied(ranked: Ranked) -> Ranked:
    """The first, and those whose interval reaches into its own."""
    return [pair for pair in ranked if pair[1].interval[1] >= ranked[0][1].interval[0]]


def apart(one: Timing, other: Timing) -> bool:
    """Whether two latencies differ for sure: their ratios to the same baseline do, or else their own intervals."""
    pair = (one, other)
    if one.record is other.record and one.setting == other.setting:
        for timing, reference in (pair, pair[::-1]):
            if reference.series.comparison == "baseline":
                return timing.series.comparison in ("faster", "slower")
        spans = [(timing.series.ratio_low, timing.series.ratio_high) for timing in pair]
    else:
        spans = [latency_interval(timing.series) for timing in pair]
    (low, high), (other_low, other_high) = spans
    return high < other_low or other_high < low


def _fastest(variants: Sequence[Variant], setting: Setting, names: Mapping[str, str]) -> str:
    timed = timed_in(variants, setting)
    (first, fast), (last, slow) = timed[0], timed[-1]
    told = f"On {setting.name}, {_named(first, fast, names)} is the fastest with {milliseconds(fast.series.median_ns)}"
    if len(timed) == 1:
        return f"{told}; nothing else was timed there."
    level = [(variant, timing) for variant, timing in timed[1:] if not apart(fast, timing)]
    if len(level) == len(timed) - 1:
        return f"{told}, but this run cannot tell the others ({_listed(level, names)}) apart from it."
    near = f"; this run cannot tell {_listed(level, names)} apart from it" if level else ""
    reference = names.get(slow.reference, slow.reference)
    span = times_interval(slow.series.ratio_low, slow.series.ratio_high)
    ratio = (
        "the baseline"
        if slow.series.comparison == "baseline"
        else f"{times(slow.series.ratio)} {reference}, {span}"
    )
    return f"{told}{near}; {_named(last, slow, names)} the slowest with {milliseconds(slow.series.median_ns)} ({ratio})."


def _named(variant: Variant, timing: Timing, names: Mapping[str, str]) -> str:
    """With the precision where the variant was timed in several."""
    several = len(variant.timings_in(timing.setting)) > 1
    return f"{names[variant.label]} {timing.precision}" if several else names[variant.label]


def _listed(timed: Sequence[tuple[Variant, Timing]], names: Mapping[str, str]) -> str:
    told = [_named(variant, timing, names) for variant, timing in timed]
    if len(told) > MAX_NAMES:
        return f"{', '.join(told[:MAX_NAMES])} and {len(told) - MAX_NAMES} more"
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _parity_words(variants: Sequence[Variant], names: Mapping[str, str]) -> str:
    verified = [variant for variant in variants if variant.verdicts]
    if not verified:
        return "Nothing was verified: there is no verdict among these files."
    found = {
        outcome: [names[variant.label] for variant in verified if parity_outcome(variant) == outcome]
        for outcome in ("fail", "blind")
    }
    if found["fail"]:
        return f"Parity failed for {', '.join(found['fail'])}: do not deploy."
    if found["blind"]:
        return (
            f"Parity is blind for {', '.join(found['blind'])}: the output hardly moves with the input, "
            "so that agreement means nothing."
        )
    count = sum(len(comparisons(variant)) for variant in verified)
    missing = len(variants) - len(verified)
    rest = f" {missing} of {len(variants)} variants were not verified." if missing else ""
    plural = "s" if len(verified) > 1 else ""
    return f"Parity passed in all {count} comparisons of {len(verified)} variant{plural}.{rest}"


def summary_table(variants: Sequence[Variant], settings: Sequence[Setting]) -> Table:
    """Activation | accuracy with interval | latency (ratio) per setting | parity; the most accurate first."""
    shown = list(settings[:MAX_SETTINGS])
    order = {v.label: accuracy.share for v, accuracy in measured_accuracies(variants)}
    rows = []
    for variant in sorted(variants, key=lambda v: -order.get(v.label, -1.0)):
        kind = " int8" if variant.in_8_bits else ""
        name = (
            Cell(f"{variant.activation}{kind}", variant.label) if variant.activation else Cell(variant.label)
        )
        cells = (
            _accuracy_cell(variant),
            *(_latency_cell(variant, setting) for setting in shown),
            parity_cell(variant),
        )
        rows.append((name, *cells))
    one_each = len({setting.runtime for setting in shown}) == len(shown)
    titles = (f"latency {setting.runtime_name if one_each else setting.name}" for setting in shown)
    columns = ("activation", "test accuracy", *titles, "parity")
    kept = [0, *(i for i in range(1, len(columns)) if any(row[i].sources for row in rows))]
    return Table(
        "summary", "Summary", tuple(columns[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows) if len(kept) > 1 else (), cards=True,
    )  # fmt: skip


def _accuracy_cell(variant: Variant) -> Cell:
    found = variant.accuracy
    if found is None:
        return figure("–", "not judged" if variant.in_8_bits else "no training record")
    refused = f", {found.refused}" if found.refused else ""
    return share_cell(found.share, interval(*found.interval) + refused, found.source)


def _latency_cell(variant: Variant, setting: Setting) -> Cell:
    timing = variant.timing(setting)
    if timing is None:
        return figure("–", "not timed")
    series = timing.series
    note = (
        "baseline"
        if series.comparison == "baseline"
        else f"{times(series.ratio)} ({series.ratio_low:.2f} to {series.ratio_high:.2f}), {series.comparison}"
    )
    return time_cell(series.median_ns, note, timing.source)
