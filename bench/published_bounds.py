#!/usr/bin/env python3
"""Holds published decoding speeds against the ideal bound: bytes over bandwidth with nothing else.

usage: published_bounds.py TANDEM            writes bench/results/published-bounds.md
       published_bounds.py TANDEM --check    fails if that file is stale or a published speed exceeds its bound

Bytes of a token come from `tandem plan --json`: the weights of all layers, the head, and the KV rows that are seen.
As much of them as the card holds is read from VRAM at the rate its vendor specifies, the rest from RAM, one after
the other. A card that holds everything needs no figure for RAM.
"""

import functools
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RESULT = HERE / "results" / "published-bounds.md"


@functools.cache
def plan_of(tandem, model):
    run = subprocess.run([tandem, "plan", "catalogue:" + model, "--devices", "cpu", "--ram", "1TiB", "--sequences", "1",
                          "--context", "128k", "--json"], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def bytes_of_token(plan, speed):
    weights = sum(layer["weight_bytes"] for layer in plan["layers"]) + speed.get("head_bytes", plan["head"]["bytes"])
    kv = sum(layer["kv_bytes"] // layer["kv_cells"] * min(layer["kv_cells"], speed["context"]) for layer in plan["layers"])
    return weights + kv


def bound_tok_per_s(plan, speed):
    total = bytes_of_token(plan, speed)
    on_gpu = min(total, int(speed.get("vram_gib", 0) * 2**30))
    seconds = on_gpu / (speed["vram_gb_per_s"] * 1e9) if on_gpu else 0
    if total > on_gpu:
        seconds += (total - on_gpu) / (speed["ram_gb_per_s"] * 1e9)
    return 1 / seconds


def report(tandem, document):
    """The table, and what exceeds its bound."""
    too_fast = []
    lines = [
        "# Published speeds and the ideal bound", "",
        "Made by `bench/published_bounds.py build/tandem` from `bench/published/speeds.json`; a test holds it against both.",
        "The bound is the bytes of a token over the bandwidth that the vendors specify, with nothing else: weights, head and KV",
        "rows, as much from VRAM as the card holds, the rest from RAM, in turn. Nothing published may exceed it; the efficiency",
        "is how much of it was reached. None of these runs is ours.", "",
        "| what | engine | GB a token | bound tok/s | published | efficiency | assumed | source |",
        "|---|---|---|---|---|---|---|---|"]
    for speed in document["speeds"]:
        plan = plan_of(tandem, speed["model"])
        bound = bound_tok_per_s(plan, speed)
        efficiency = speed["tok_per_s"] / bound
        if efficiency > 1:
            too_fast.append(speed["what"])
        lines.append(f"| {speed['what']} | {speed['engine']} | {bytes_of_token(plan, speed) / 1e9:.2f} | {bound:.1f} | "
                     f"{speed['tok_per_s']} | {efficiency:.0%} | {speed.get('assumed', '')} | {speed['source']} |")
    lines += ["", "| what | engine | GB/s | peak | efficiency | source |", "|---|---|---|---|---|---|"]
    for row in document["bandwidths"]:
        efficiency = row["gb_per_s"] / row["peak_gb_per_s"]
        if efficiency > 1:
            too_fast.append(row["what"])
        lines.append(f"| {row['what']} | {row['engine']} | {row['gb_per_s']} | {row['peak_gb_per_s']} | {efficiency:.0%} | "
                     f"{row['source']} |")
    return "\n".join(lines) + "\n", too_fast


def main():
    tandem, *flags = sys.argv[1:]
    document = json.loads((HERE / "published" / "speeds.json").read_text())
    text, too_fast = report(tandem, document)
    if too_fast:
        sys.exit("faster than the bound: " + "; ".join(too_fast))
    if "--check" not in flags:
        RESULT.write_text(text)
    elif RESULT.read_text() != text:
        sys.exit(f"{RESULT.name} is stale: run bench/published_bounds.py again")
    print(f"{len(document['speeds']) + len(document['bandwidths'])} published figures are within their bounds")


if __name__ == "__main__":
    main()
