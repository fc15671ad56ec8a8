"""`edgeacts conformance`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeacts.cli.options import names, on_terminal, seed, write_json
from edgeacts.records import ConformanceRecord
from edgeacts.runtimes import runtime_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No positional arguments."""
    parser.epilog = (
        "Errors are in units in the last place (ULP) of the type at the true value, which mpmath gives; `error` is the "
        "largest |error|/max(1, |x|), which bounds are stated in. accelerated: the kernels, by each instruction set."
    )
    parser.add_argument(
        "--runtime",
        type=names,
        metavar="NAMES",
        default=runtime_names(),
        help=f"default {','.join(runtime_names())}",
    )
    parser.add_argument("--activation", type=names, metavar="NAMES", help="default all of the catalogue")
    parser.add_argument(
        "--dtype",
        type=names,
        metavar="NAMES",
        default=("float32", "float16", "bfloat16"),
        help="default float32,float16,bfloat16",
    )
    parser.add_argument(
        "--mantissas",
        type=int,
        metavar="N",
        help="values of float32 in each power of two from 2^-16 to 2^7; default 32768",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the float32 sweep")
    parser.add_argument(
        "--out", metavar="DIR", help="write a record conformance-RUNTIME.json for each runtime"
    )


def action(arguments: argparse.Namespace) -> int:
    """Measure, print a table for each runtime; 1 when a way with a stated bound is not within it."""
    from edgeacts.conformance import format_conformance, measure_conformance
    from edgeacts.errors import CheckFailed, NotAvailable, UsageError
    from edgeacts.names import check_name
    from edgeacts.runtimes import runtime_names

    if not arguments.runtime:
        raise UsageError("no runtime to try: give at least one")
    for runtime in arguments.runtime:
        check_name(runtime, runtime_names(), "runtime")
    given = {} if arguments.mantissas is None else {"mantissas": arguments.mantissas}
    records: list[ConformanceRecord] = []
    missing: dict[str, str] = {}
    for runtime in dict.fromkeys(arguments.runtime):
        try:
            record = measure_conformance(
                runtime,
                arguments.activation,
                arguments.dtype,
                seed=arguments.seed,
                progress=on_terminal(),
                **given,
            )
        except NotAvailable as error:
            missing[runtime] = str(error)
            continue
        print(("\n" if records else "") + format_conformance(record), flush=True)
        records.append(record)
        if arguments.out:
            record.write(Path(arguments.out) / f"conformance-{runtime}.json")
    if not records:
        raise NotAvailable(f"nothing was measured: {'; '.join(missing.values())}")
    for runtime, reason in missing.items():
        print(f"not measured: {runtime}: {reason}")
    write_json(arguments, records[0] if len(records) == 1 else records)
    if not any(row.value_count for record in records for row in record.rows):
        raise CheckFailed("nothing was compared: no runtime took any of this")
    return 1 if any(row.outcome == "fail" for record in records for row in record.rows) else 0
