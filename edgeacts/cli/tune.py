"""`edgeacts tune`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from edgeacts.cli.options import duration, names, on_terminal, share, wrapped, write_json
from edgeacts.records import TuningEntry, TuningRecord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[--runtime R] [--activation NAMES] [--out FILE]."""
    from edgeacts.tuning import TuneSettings

    default = TuneSettings()
    parser.epilog = (
        "Each form is put in the place of every activation of the network, and all are run in turn with the network with "
        "ReLU. Exports and sessions read the file: the fastest form within the error allowed is used. EDGEACTS_TUNING names "
        "another file than the one in the user's cache folder. With int8, ratios are to the quantized network with ReLU; on "
        "OpenVINO it measures which layers to quantize and what activations become, which edgeacts quantize then tries first. "
        "The file is written after each activation."
    )
    add = parser.add_argument
    add(
        "--runtime",
        default=default.runtime,
        metavar="NAME",
        help="openvino (default), or onnxruntime without kernels",
    )
    add("--model", default=default.model, metavar="NAME", help=f"network; default {default.model}")
    add("--activation", type=names, metavar="NAMES", help="comma-separated; default all")
    add(
        "--precision",
        type=names,
        default=(default.precision,),
        metavar="NAMES",
        help="f32 (default), bf16, f16, int8",
    )
    add(
        "--tolerance",
        type=_tolerances,
        default=default.tolerances,
        metavar="E",
        help="errors allowed, of max(1, |x|), comma-separated; default 1e-5; bf16 allows 1e-3 in any case",
    )
    add(
        "--size",
        type=int,
        default=default.size,
        metavar="N",
        help="side of the images; default 224; 96 is quicker",
    )
    add("--threads", type=int, default=default.threads, metavar="N", help="threads of the runtime; default 1")
    add(
        "--budget",
        type=duration,
        default=default.budget_s,
        metavar="T",
        help="for each activation; default 30s",
    )
    add(
        "--within",
        type=share,
        default=default.within,
        metavar="P",
        help="half width of the ratios' intervals at which to stop; default 1%%",
    )
    add("--resume", action="store_true", help="leave out what the file has, measured as it would be now")
    add("--out", metavar="FILE", help="tuning file; default the user's")


def _tolerances(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write errors such as 1e-5 or 1e-4,1e-5") from None


def action(arguments: argparse.Namespace) -> int:
    """Measure, write the file after each activation, print the table."""
    from edgeacts.activations import activation
    from edgeacts.activations import names as catalogue_names
    from edgeacts.forms.tuned import user_file
    from edgeacts.tuning import TuneSettings, measured_before, tune, write_entry

    wanted = [activation(name) for name in arguments.activation or catalogue_names()]
    path = Path(arguments.out) if arguments.out else user_file()
    every = [
        TuneSettings(
            runtime=arguments.runtime, precision=precision, model=arguments.model, size=arguments.size,
            threads=arguments.threads, tolerances=arguments.tolerance, budget_s=arguments.budget, within=arguments.within,
        )
        for precision in arguments.precision
    ]  # fmt: skip
    try:
        for settings in every:
            done = measured_before(path, settings, wanted) if arguments.resume else ()
            left = [one for one in wanted if one.name not in done]
            if done:
                print(wrapped(f"{settings.precision}: measured before: {', '.join(done)}"))
            if left:
                _print(
                    tune(left, settings, keep=partial(write_entry, path), progress=on_terminal()),
                    arguments.tolerance,
                )
    except KeyboardInterrupt:
        if path.exists():
            print(f"{path} has what was measured; --resume goes on from there", file=sys.stderr)
        raise
    write_json(arguments, TuningRecord.read(path))
    print(f"written: {path}")
    return 0


def _print(entry: TuningEntry, tolerances: tuple[float, ...]) -> None:
    from edgeacts.forms import allowed_error
    from edgeacts.forms.tuned import fastest, fastest_setting, setting_name
    from edgeacts.quantization.openvino_settings import STEP_SHARES

    shape = "x".join(map(str, entry.input_shape))
    print(
        wrapped(
            f"{entry.runtime} {entry.runtime_version} {entry.precision}: latency of {entry.model} at {shape} over that with "
            f"ReLU ({entry.baseline_ms:.2f} ms), {entry.threads} thread(s), at least {entry.rounds} interleaved rounds"
        )
    )
    for one in entry.activations:
        print(f"{one.activation}:")
        allowed = sorted({allowed_error(tolerance, entry.precision) for tolerance in tolerances})
        chosen = {most: fastest(one.forms, most) for most in allowed}
        for form in one.forms:
            within = [f"{t:g}" for t, best in chosen.items() if best is form]
            interval = f"{form.ratio:6.3f} [{form.ratio_low:.3f}, {form.ratio_high:.3f}]"
            note = f"  <- within {', '.join(within)}" if within else ""
            print(f"  {form.name:20s} {interval}  error {form.bound:.1e}{note}")
        best = fastest_setting(one.settings, max(STEP_SHARES))
        for setting in one.settings:
            interval = f"{setting.ratio:6.3f} [{setting.ratio_low:.3f}, {setting.ratio_high:.3f}]"
            print(f"  {setting_name(setting):28s} {interval}{'  <- the fastest' if best is setting else ''}")
