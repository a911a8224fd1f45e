#!/usr/bin/env python3
"""Predicted against measured step times on this machine's CPU, as a Markdown table.

A run is one of bench_accuracy for each model: a calibration that goes several times through what it measures, steps
of the model in between, and medians of both.  A slow second is so in a few samples of either.  A cell's error is the
median over five runs of predicted over measured, less 1; a cell whose interquartile range is above 5 % of the median
does not count.  The models are
copied first: a file that had been read long ago lay scattered in memory, and its weights were read 10 to 20 % slower
than those of a new one.  With --real-time nothing else on this machine gets a core meanwhile, but the twentieth of the time
that the kernel keeps for it.

    bench/accuracy.py --build build --raw runs.json MODEL.gguf ...
    bench/accuracy.py --from-raw runs.json
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_SPREAD = 0.05


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--contexts", type=int, nargs="+", default=[0, 1024, 8192, 32768])
    parser.add_argument("--real-time", action="store_true", help="as root: by chrt, before all other processes")
    parser.add_argument("--copies", type=Path, help="where the models' copies go; else where temporary files go")
    parser.add_argument("--raw", type=Path, help="add every run to this file as a line of JSON")
    parser.add_argument("--from-raw", type=Path, help="measure nothing: the table of runs that --raw kept")
    return parser.parse_args()


def one_run(options, model):
    """All cells of `model`, predicted and measured."""
    first = ["chrt", "--rr", "10"] if options.real_time else []
    contexts = [word for context in options.contexts for word in ("--contexts", str(context))]
    done = subprocess.run(
        [*first, options.build / "bench_accuracy", model, *contexts], stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def spread(values):
    """Interquartile range over median."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / median


def table(cells):
    """Prints a row a cell; returns the errors of those that count."""
    print("| model | step | context | sequences | predicted, ms | measured, ms | error | IQR |")
    print("|---|---|---|---|---|---|---|---|")
    errors = []
    for (model, step, context, sequences), runs in cells.items():
        ratios = [run["predicted_s"] / run["measured_s"] for run in runs]
        predicted, measured = (statistics.median(run[name] for run in runs) * 1e3 for name in ("predicted_s", "measured_s"))
        error, noise = statistics.median(ratios) - 1, spread(ratios)
        counts = noise <= MAX_SPREAD
        if counts:
            errors.append(abs(error))
        shown = f"{error:+.1%}" if counts else f"({error:+.1%})"
        print(f"| {model} | {step} | {context} | {sequences} | {predicted:.2f} | {measured:.2f} | {shown} | {noise:.1%} |")
    return errors


def measured_runs(options):
    for number in range(options.runs):
        for model in options.models:
            for run in one_run(options, model):
                if options.raw:
                    with options.raw.open("a") as raw:
                        raw.write(json.dumps({"run": number, **run}) + "\n")
                yield run
        print(f"run {number + 1} of {options.runs}", file=sys.stderr)


def kept_runs(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def print_table(options):
    cells = {}
    for run in kept_runs(options.from_raw) if options.from_raw else measured_runs(options):
        cells.setdefault((run["model"], run["step"], run["context"], run["sequences"]), []).append(run)
    errors = table(cells)
    print(f"\n{len(cells)} cells, {len(cells) - len(errors)} of them too noisy to count (in brackets)")
    if errors:
        print(f"error of those that count: median {statistics.median(errors):.1%}, worst {max(errors):.1%}")


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.copies) as folder:
        options.models = [Path(shutil.copy(model, folder)) for model in options.models]
        print_table(options)


if __name__ == "__main__":
    main()
