"""Compares gemma_f64.py with the committed transformers logits, and shows what every planted mistake would change."""

import sys

import numpy as np

import container
from gemma_f64 import MISTAKES, Mistakes, Model
from paths import DATA

MODELS = ["gemma3_7l", "gemma3_62l", "gemma3_4l", "gemma4_8l", "gemma4_7l_sliding", "gemma4_4l"]
ONE_LAYER = ["gemma3_1l_sliding", "gemma3_1l_global", "gemma4_1l_sliding", "gemma4_1l_global"]
TOLERANCE = {name: 2e-5 for name in MODELS} | {name: 1e-5 for name in ONE_LAYER}  # of the range: what tests allow


def share_of_range(actual, expected):
    expected = expected.astype(np.float64)
    return np.abs(actual - expected).max() / (expected.max() - expected.min())


def model_difference(name, mistakes):
    """Largest logit difference from the fixture as a share of its logit range, over all lengths."""
    arrays = container.read(DATA / f"{name}.fixture")
    model = Model(DATA / f"{name}.gguf", mistakes)
    return max(share_of_range(model.forward(arrays[f"tokens_{n}"])[0], arrays[f"logits_{n}"])
               for n in arrays["lengths"])


def one_layer_difference(name, mistakes):
    """The same over all positions, for the hidden state after the layer and for the logits."""
    arrays = container.read(DATA / f"{name}.fixture")
    model = Model(DATA / f"{name}.gguf", mistakes)
    worst = 0.0
    for last in arrays["last_positions"]:
        logits, residual = model.forward(arrays[f"tokens_{last}"], arrays[f"positions_{last}"])
        worst = max(worst, share_of_range(residual[1], arrays[f"hidden_{last}"]),
                    share_of_range(logits, arrays[f"logits_{last}"]))
    return worst


def difference(name, mistakes=Mistakes()):
    return (model_difference if name in MODELS else one_layer_difference)(name, mistakes)


def check():
    names = MODELS + ONE_LAYER
    print("| mistake | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    right = [difference(name) for name in names]
    print("| none | " + " | ".join(f"{d:.0e}" for d in right) + " |")
    failures = [f"{name} differs by {d}" for name, d in zip(names, right) if d > 1e-7]
    for mistake in MISTAKES:
        row = {name: difference(name, Mistakes(mistake)) for name in names}
        print(f"| {mistake} | " + " | ".join("-" if d < 1e-7 else f"{d:.0e}" for d in row.values()) + " |")
        if not any(d > 10 * TOLERANCE[name] for name, d in row.items()):
            failures.append(f"no fixture exposes: {mistake}")
    return failures


if __name__ == "__main__":
    problems = check()
    print("\n".join(problems), file=sys.stderr)
    sys.exit(1 if problems else 0)
