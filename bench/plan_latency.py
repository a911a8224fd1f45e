#!/usr/bin/env python3
"""Time of `tandem plan`, whole process, from a header file.

usage: plan_latency.py TANDEM HEADER [RUNS]
Prints a table: median, range and interquartile range in ms of RUNS runs (21) after one to warm up, interleaved.
A header is made by `tandem-make-model --model gemma4-12b-qat-q4_0 --vocab 445000 --header-only header.gguf`.
"""

import statistics
import subprocess
import sys
import time

QUESTIONS = ["", "--vram 6GiB", "--max-context", "--max-sequences", "--min-vram", "--target-tps 30",
             "--vram 6GiB --sweep context=4k:256k:x2", "--sweep vram=4GiB:12GiB:256MiB", "--vram 6GiB --json --svg /dev/null"]


def run_ms(command):
    start = time.perf_counter()
    run = subprocess.run(command, stdout=subprocess.DEVNULL)
    elapsed = (time.perf_counter() - start) * 1e3
    if run.returncode not in (0, 2):
        sys.exit(f"{command} exits with {run.returncode}")
    return elapsed


def main():
    tandem, header, *runs = sys.argv[1:]
    commands = [[tandem, "plan", header, *question.split()] for question in QUESTIONS]
    times = [[run_ms(command) for command in commands] for _ in range(int(runs[0] if runs else 21) + 1)][1:]
    print("| `tandem plan HEADER` with | median ms | range | interquartile |\n|---|---|---|---|")
    for question, column in zip(QUESTIONS, zip(*times)):
        quarters = statistics.quantiles(column, n=4)
        print(f"| `{question}` | {statistics.median(column):.1f} | {min(column):.1f} to {max(column):.1f} | "
              f"{quarters[2] - quarters[0]:.1f} |".replace("``", "nothing"))


if __name__ == "__main__":
    main()
