"""Compares gemma_f64.py with the committed transformers logits, and shows what every planted mistake would change."""

import sys

import numpy as np

import container
from gemma_f64 import MISTAKES, Mistakes, Model
from paths import DATA

MODELS = ["gemma3_7l", "gemma3_62l", "gemma3_4l", "gemma4_8l", "gemma4_7l_local", "gemma4_4l"]
TOLERANCE = 2e-5  # of the logit range: what the tests allow


def difference(name, mistakes=Mistakes()):
    """Largest logit difference from the fixture as a share of the fixture's logit range, over all lengths."""
    arrays = container.read(DATA / f"{name}.fixture")
    model = Model(DATA / f"{name}.gguf", mistakes)
    worst = 0.0
    for length in arrays["lengths"]:
        expected = arrays[f"logits_{length}"].astype(np.float64)
        logits, _ = model.forward(arrays[f"tokens_{length}"])
        worst = max(worst, np.abs(logits - expected).max() / (expected.max() - expected.min()))
    return worst


def check():
    print("| mistake | " + " | ".join(MODELS) + " |")
    print("|---" * (len(MODELS) + 1) + "|")
    right = [difference(name) for name in MODELS]
    print("| none | " + " | ".join(f"{d:.0e}" for d in right) + " |")
    failures = [f"{name} differs by {d}" for name, d in zip(MODELS, right) if d > 1e-7]
    for mistake in MISTAKES:
        row = [difference(name, Mistakes(mistake)) for name in MODELS]
        print(f"| {mistake} | " + " | ".join("-" if d < 1e-7 else f"{d:.0e}" for d in row) + " |")
        if max(row) < 10 * TOLERANCE:
            failures.append(f"no fixture exposes: {mistake}")
    return failures


if __name__ == "__main__":
    problems = check()
    print("\n".join(problems), file=sys.stderr)
    sys.exit(1 if problems else 0)
