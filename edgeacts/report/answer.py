"""The answer first: a headline, the sentences under it, and the summary table.

They claim no more than the intervals allow: accuracies whose intervals overlap are not ranked.
"""

from collections.abc import Mapping, Sequence

from edgeacts.records import TrainingRecord
from edgeacts.report.cells import Cell, Table, figure, interval, milliseconds, percent, times
from edgeacts.report.learning import trained
from edgeacts.report.parity import comparisons, parity_cell, parity_passed
from edgeacts.report.variants import Setting, Variant, short_names

MAX_SETTINGS = 4
"""Latency columns of the summary; further settings have their own tables below."""


def headline(variants: Sequence[Variant], settings: Sequence[Setting]) -> str:
    """One sentence: what is the most accurate, what it costs, and what this run cannot tell apart from it."""
    names, ranked = short_names(variants), _ranked(variants)
    if not ranked:
        return _fastest(variants, settings[0], names) if settings else _parity_words(variants, names)
    (best, record), tied = ranked[0], [variant for variant, _ in _tied(ranked)]
    first = f"{names[best.label]} is the most accurate ({percent(record.test_accuracy)})"
    timing = best.timing(settings[0]) if settings else None
    if timing is None:
        return f"{first}."
    runtime, cost = timing.setting.runtime_name, milliseconds(timing.series.median_ns)
    timed = [(t.series.median_ns, variant) for variant in tied if (t := variant.timing(timing.setting))]
    fastest_ns, fastest = min(timed, key=lambda pair: pair[0])
    if fastest is best:
        rank = "" if len(tied) == 1 else ", the fastest of those it cannot be told apart from"
        return f"{first} and takes {cost} on {runtime}{rank}."
    return (
        f"{first}, but this run cannot tell it apart from {names[fastest.label]}, which takes "
        f"{milliseconds(fastest_ns)} instead of {cost} on {runtime}."
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
            f"{names[best.label]} has the highest test accuracy ({percent(record.test_accuracy)}); "
            + (
                f"the intervals of {share} others reach into its own, so this run does not rank them."
                if tied
                else "the intervals of all others end below its own."
            )
        )
    told += [_fastest(variants, setting, names) for setting in settings[:MAX_SETTINGS]]
    return [*told, _parity_words(variants, names)]


Ranked = Sequence[tuple[Variant, TrainingRecord]]


def _ranked(variants: Sequence[Variant]) -> Ranked:
    """Trained variants, the most accurate first; failed parity rules a variant out."""
    items = [(v, item.record) for v, item in trained(variants) if parity_passed(v) is not False]
    return sorted(items, key=lambda pair: -pair[1].test_accuracy)


def _tied(ranked: Ranked) -> Ranked:
    """The first, and those whose interval reaches into its own."""
    return [pair for pair in ranked if pair[1].test_interval[1] >= ranked[0][1].test_interval[0]]


def _fastest(variants: Sequence[Variant], setting: Setting, names: Mapping[str, str]) -> str:
    timed = [(t, names[v.label]) for v in variants if (t := v.timing(setting))]
    timed.sort(key=lambda pair: pair[0].series.median_ns)
    (fast, label), (slow, slow_label) = timed[0], timed[-1]
    first = f"On {setting.name}, {label} is the fastest with {milliseconds(fast.series.median_ns)}"
    if len(timed) == 1:
        return f"{first}; nothing else was timed there."
    reference = names.get(slow.reference, slow.reference)
    ratio = f"{times(slow.series.ratio)} {reference}"
    return f"{first}, {slow_label} the slowest with {milliseconds(slow.series.median_ns)} ({ratio})."


def _parity_words(variants: Sequence[Variant], names: Mapping[str, str]) -> str:
    verified = [variant for variant in variants if variant.verdicts]
    if not verified:
        return "Nothing was verified: there is no verdict among these files."
    failed = [names[variant.label] for variant in verified if not parity_passed(variant)]
    if failed:
        return f"Parity failed for {', '.join(failed)}: do not deploy."
    count = sum(len(comparisons(variant)) for variant in verified)
    missing = len(variants) - len(verified)
    rest = f" {missing} of {len(variants)} variants were not verified." if missing else ""
    plural = "s" if len(verified) > 1 else ""
    return f"Parity passed in all {count} comparisons of {len(verified)} variant{plural}.{rest}"


def summary_table(variants: Sequence[Variant], settings: Sequence[Setting]) -> Table:
    """Activation | accuracy with interval | latency (ratio) per setting | parity; the most accurate first."""
    shown = list(settings[:MAX_SETTINGS])
    order = {v.label: item.record.test_accuracy for v, item in trained(variants)}
    rows = []
    for variant in sorted(variants, key=lambda v: -order.get(v.label, -1.0)):
        name = Cell(variant.activation, variant.label) if variant.activation else Cell(variant.label)
        cells = (
            _accuracy_cell(variant),
            *(_latency_cell(variant, setting) for setting in shown),
            parity_cell(variant),
        )
        rows.append((name, *cells))
    one_each = len({setting.runtime for setting in shown}) == len(shown)
    titles = (f"latency {setting.runtime_name if one_each else setting.name}" for setting in shown)
    return Table(
        "summary", "Summary", ("activation", "test accuracy", *titles, "parity"), tuple(rows), cards=True
    )


def _accuracy_cell(variant: Variant) -> Cell:
    if variant.training is None:
        return figure("–", "no training record")
    record = variant.training.record
    return figure(percent(record.test_accuracy), interval(*record.test_interval), variant.training.source)


def _latency_cell(variant: Variant, setting: Setting) -> Cell:
    timing = variant.timing(setting)
    if timing is None:
        return figure("–", "not timed")
    return figure(milliseconds(timing.series.median_ns), times(timing.series.ratio), timing.source)
