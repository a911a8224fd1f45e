"""What comes over the socket is what transformers computed: log-probabilities of whole prompts, token by token."""

import sys

import numpy as np
import pytest

from daemon import REFERENCE, Daemon

sys.path.insert(0, str(REFERENCE.parent))
from container import read as read_fixture  # noqa: E402

MODELS = ["gemma3_7l", "gemma3_62l", "gemma3_4l", "gemma4_8l", "gemma4_7l_sliding", "gemma4_4l"]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("name", MODELS)
def test_prompt_logprobs_equal_transformers(name):
    fixture = read_fixture(REFERENCE / f"{name}.fixture")
    with Daemon(REFERENCE / f"{name}.gguf", "--kv-type", "f32", "--context", "128", "--sequences", "2") as daemon:
        for length in fixture["lengths"]:
            tokens = fixture[f"tokens_{length}"]
            logits = fixture[f"logits_{length}"]
            # twice the allowed error of one logit, and the rounding of a log-probability printed as float32
            bound = 2 * 2e-5 * float(logits.max() - logits.min()) + 1e-5
            answer = daemon.complete(
                prompt=[int(t) for t in tokens], max_tokens=0, echo=True, logprobs=5, return_tokens_as_token_ids=True
            )
            scores = answer["choices"][0]["logprobs"]
            assert scores["tokens"] == [f"token_id:{t}" for t in tokens]
            assert scores["token_logprobs"][0] is None
            expected = log_softmax(logits)
            for position in range(1, length):
                assert scores["token_logprobs"][position] == pytest.approx(
                    expected[position - 1][tokens[position]], abs=bound
                )
                best = expected[position - 1].max()
                assert max(scores["top_logprobs"][position].values()) == pytest.approx(best, abs=bound)


@pytest.mark.parametrize("name", ["gemma3_7l", "gemma4_8l"])
def test_greedy_token_is_the_argmax_of_transformers(name):
    fixture = read_fixture(REFERENCE / f"{name}.fixture")
    with Daemon(REFERENCE / f"{name}.gguf", "--kv-type", "f32", "--context", "128") as daemon:
        for length in fixture["lengths"]:
            logits = fixture[f"logits_{length}"][-1]
            answer = daemon.complete(
                prompt=[int(t) for t in fixture[f"tokens_{length}"]],
                max_tokens=1,
                temperature=0,
                logprobs=1,
                return_tokens_as_token_ids=True,
            )
            assert answer["choices"][0]["logprobs"]["tokens"] == [f"token_id:{int(np.argmax(logits))}"]
