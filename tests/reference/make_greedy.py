"""Greedy continuations of random prompts by the tiny models, chosen by transformers in double precision.

Random models repeat one token for ever, so a token that was generated is not chosen again.
"""

import numpy as np
import torch

import container
from double import RefuseFloat32, double_precision
from make_models import MODULES, SHAPES, Weights, build, load
from paths import DATA

NAMES = ("gemma3_7l", "gemma3_4l", "gemma4_8l", "gemma4_7l_sliding")
NEW_TOKENS = 16
CLEAR = 2e-4  # the best logit leads by at least this share of the logit range at every step
MARKERS = {"gemma3": 10, "gemma4": 19}  # ids below are control tokens and turn markers


def continuation(model, prompt, first_plain):
    """The greedy continuation, or nothing if it is ever close or meets a control token or a marker."""
    tokens = list(prompt)
    for _ in range(NEW_TOKENS):
        with torch.no_grad(), RefuseFloat32():
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].numpy()
        clear = CLEAR * (logits.max() - logits.min())
        logits[tokens[len(prompt):]] = -np.inf
        second, best = np.sort(logits)[-2:]
        choice = int(logits.argmax())
        if best - second < clear or choice < first_plain:
            return None
        tokens.append(choice)
    return tokens[len(prompt):]


def make_one(shape):
    first_plain = MARKERS[shape.family]
    rng = np.random.default_rng(2000 + shape.seed)
    prompts, continuations = [], []
    with double_precision(*MODULES):
        model = build(shape, "unified").double().eval()
        load(model, shape, Weights(shape))
        for length in (2, shape.window - 1, shape.window + 1, 2 * shape.window + 3, 40):
            found = None
            while found is None:
                prompt = rng.integers(first_plain, shape.vocab, length).tolist()
                prompt[0] = 2
                found = continuation(model, prompt, first_plain)
            prompts.append(prompt)
            continuations.append(found)
    arrays = {}
    arrays["prompt"], arrays["prompt_end"] = container.ragged(prompts, np.int32)
    arrays["continuation"], arrays["continuation_end"] = container.ragged(continuations, np.int32)
    container.write(DATA / f"{shape.name}_greedy.fixture", arrays)


def make():
    for shape in SHAPES:
        if shape.name in NAMES:
            make_one(shape)


if __name__ == "__main__":
    make()
