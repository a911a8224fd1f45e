#!/usr/bin/env python3
"""Predicted against measured step times on this machine's CPU, as a Markdown table.

`tandem calibrate` and bench_accuracy take turns, model by model: what else the machine does meanwhile hits both.  A run
is the mean of some such turns.  A cell's error is the median over runs of predicted over measured, less 1; a cell whose
interquartile range is above 5 % of the median does not count.

    bench/accuracy.py --build build --raw runs.json MODEL.gguf ...
    bench/accuracy.py --from-raw runs.json
"""

import argparse
import json
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
    parser.add_argument("--turns", type=int, default=3, help="of calibration and measurement in a run")
    parser.add_argument("--contexts", type=int, nargs="+", default=[0, 1024, 8192, 32768])
    parser.add_argument("--quick", action="store_true", help="calibrate in seconds")
    parser.add_argument("--raw", type=Path, help="add every run to this file as a line of JSON")
    parser.add_argument("--from-raw", type=Path, help="measure nothing: the table of runs that --raw kept")
    return parser.parse_args()


def one_turn(options, model):
    """All cells of `model`, predicted by a profile measured just before."""
    with tempfile.NamedTemporaryFile(suffix=".json") as profile:
        calibrate = [options.build / "tandemd", "--calibrate", *(["--quick"] if options.quick else [])]
        subprocess.run(calibrate, stdout=profile, stderr=subprocess.DEVNULL, check=True)
        contexts = [word for context in options.contexts for word in ("--contexts", str(context))]
        done = subprocess.run(
            [options.build / "bench_accuracy", "--machine", profile.name, model, *contexts],
            stdout=subprocess.PIPE, text=True, check=True,
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def one_run(options, model):
    """The means of some turns, cell by cell."""
    turns = [one_turn(options, model) for _ in range(options.turns)]
    times = ("predicted_s", "measured_s")
    return [{**cell[0], **{time: statistics.mean(turn[time] for turn in cell) for time in times}} for cell in zip(*turns)]


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


def main():
    options = arguments()
    cells = {}
    for run in kept_runs(options.from_raw) if options.from_raw else measured_runs(options):
        cells.setdefault((run["model"], run["step"], run["context"], run["sequences"]), []).append(run)
    errors = table(cells)
    print(f"\n{len(cells)} cells, {len(cells) - len(errors)} of them too noisy to count (in brackets)")
    if errors:
        print(f"error of those that count: median {statistics.median(errors):.1%}, worst {max(errors):.1%}")


if __name__ == "__main__":
    main()
