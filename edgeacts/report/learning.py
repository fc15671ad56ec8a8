"""What was learnt: plots and tables of training, and of test accuracy with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeacts.records import TrainingRecord
from edgeacts.report.cells import (
    Table,
    count_cell,
    figure,
    number,
    percent,
    share_cell,
    share_span,
    source_cell,
    words,
)
from edgeacts.report.drawing import MAX_ROWS, Plot, blank, line, marker, row_axis, row_name, safe
from edgeacts.report.evidence import Sourced
from edgeacts.report.palette import Look
from edgeacts.report.variants import Variant, short_names

Trained = Sequence[tuple[Variant, Sourced[TrainingRecord]]]
MARKERS_UP_TO = 12


def trained(variants: Sequence[Variant]) -> list[tuple[Variant, Sourced[TrainingRecord]]]:
    """The variants that have a training record, with it."""
    return [(variant, variant.training) for variant in variants if variant.training]


def training_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Validation accuracy and training loss by epoch."""
    items = [(variant, item) for variant, item in trained(variants) if item.record.epochs]
    if not items:
        return []
    return [
        _by_epoch(items, looks, "validation_accuracy", "Validation accuracy by epoch", ".0~%"),
        _by_epoch(items, looks, "train_loss", "Training loss by epoch", ""),
    ]


def _by_epoch(items: Trained, looks: Mapping[str, Look], field: str, title: str, tick: str) -> Plot:
    unit, ends = field.split("_")[1], []
    plot = blank(340, "epoch", unit, yaxis={"tickformat": tick}, xaxis={"tickformat": "d"})
    for variant, item in items[:MAX_ROWS]:
        epochs = item.record.epochs
        y = [getattr(epoch, field) for epoch in epochs]
        plot.add_scatter(
            x=[epoch.epoch for epoch in epochs],
            y=y,
            mode="lines+markers" if len(epochs) <= MARKERS_UP_TO else "lines",
            line=line(looks[variant.look]),
            marker=marker(looks[variant.look], 7),
            meta={"activation": variant.look},
            hovertemplate=f"{safe(variant.label)}<br>epoch %{{x}}<br>{unit} %{{y:.4f}}<extra></extra>",
        )
        ends.append(f"{variant.label} {number(y[-1])}")
    alt = f"{title}. In the last epoch: {', '.join(ends)}."
    return Plot(f"epochs-{field.replace('_', '-')}", title, alt, plot, _epoch_table(items, field, title))


def _epoch_table(items: Trained, field: str, title: str) -> Table:
    rows = [
        (
            words(variant.label),
            count_cell(epoch.epoch, "epoch"),
            replace(figure(number(value := getattr(epoch, field))), value=value),
            source_cell(item.source),
        )
        for variant, item in items
        for epoch in item.record.epochs
    ]
    return Table(
        f"table-{field}", title, ("variant", "epoch", field.replace("_", " "), "source"), tuple(rows)
    )


def accuracy_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Test accuracy per variant with its 95 % interval, the best on top."""
    items = sorted(trained(variants), key=lambda item: item[1].record.test_accuracy)
    if not items:
        return []
    names = short_names([variant for variant, _ in items])
    axis = {"tickformat": ".1~%", "nticks": 6}
    drawn = items[-MAX_ROWS:]
    rows = row_axis([row_name(names[variant.label]) for variant, _ in drawn])
    plot = blank(96 + 40 * len(drawn), "test accuracy", xaxis=axis, yaxis=rows)
    for row, (variant, item) in enumerate(drawn):
        look, accuracy, (low, high) = (
            looks[variant.look],
            item.record.test_accuracy,
            item.record.test_interval,
        )
        above, below = max(0.0, high - accuracy), max(0.0, accuracy - low)
        plot.add_scatter(
            x=[accuracy],
            y=[row],
            error_x={
                "array": [above],
                "arrayminus": [below],
                "color": look.light,
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            marker=marker(look, 12),
            meta={"activation": variant.look},
            hovertemplate=f"{safe(variant.label)}<br>%{{x:.2%}} ({low:.2%} to {high:.2%})<extra></extra>",
        )
    told = ", ".join(
        f"{variant.label} {percent(item.record.test_accuracy)}" for variant, item in reversed(items)
    )
    alt = f"Test accuracy with 95 % intervals, the best first: {told}."
    note = (
        "Bars are Wilson 95 % intervals over the test images; they hold nothing of the spread between seeds."
    )
    return [Plot("accuracy", "", alt, plot, _accuracy_table(items[::-1]), note, wide=True)]


def _accuracy_table(items: Trained) -> Table:
    rows = []
    for variant, item in items:
        record = item.record
        correct = f"{record.test_correct} of {record.test_total}"
        cells = (share_cell(record.test_accuracy), share_span(*record.test_interval), figure(correct))
        rows.append((words(variant.label), *cells, source_cell(item.source)))
    columns = ("variant", "test accuracy", "95 % interval", "correct", "source")
    return Table("table-accuracy", "Test accuracy", columns, tuple(rows))


def training_table(variants: Sequence[Variant]) -> Table | None:
    """How each variant was trained: data, seed, epochs, parameters, those of the activation, settings."""
    rows = []
    for variant, item in trained(variants):
        record = item.record
        settings = ", ".join(f"{name} {value}" for name, value in record.settings.items())
        rows.append(
            (
                words(variant.label),
                words(f"{record.data} ({len(record.classes)} classes, {record.data_source})"),
                figure(str(record.seed)),
                figure(str(len(record.epochs))),
                figure(f"{record.width:g}"),
                figure(f"{record.parameter_count:,}"),
                words(_learned(record.activation_parameters) or "none"),
                figure(f"{record.seconds:.0f} s"),
                words(settings or "none"),
                source_cell(item.source),
            )
        )
    columns = (
        "variant",
        "data",
        "seed",
        "epochs",
        "width",
        "parameters",
        "of the activation",
        "time",
        "settings",
        "source",
    )
    return Table("table-training", "How it was trained", columns, tuple(rows)) if rows else None


def _learned(parameters: Mapping[str, Sequence[float]]) -> str:
    """One value as it is; of many their range."""
    told = []
    for name, values in parameters.items():
        if len(set(values)) == 1:
            told.append(f"{name} {values[0]:.4g}")
        elif values:
            told.append(f"{name} {min(values):.4g} to {max(values):.4g} ({len(values)} values)")
    return ", ".join(told)
