"""tandem bench and tandem perplexity, which run a daemon of their own."""

import json
import math

import pytest

from daemon import EMBEDDED, REFERENCE, Daemon, tandem

MODEL = REFERENCE / "gemma4_8l.gguf"
TEXT = "Every token of this text is scored once, also where windows meet. " * 3


def test_bench_measures():
    done = tandem("bench", EMBEDDED, "--prompt", 20, "--generate", 8, "--runs", 3, "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    for name in ("prompt_tok_per_s", "decode_tok_per_s", "decode_gb_per_s"):
        assert 0 < measured[name]["min"] <= measured[name]["median"] <= measured[name]["max"]


def bits_by_hand(window_tok):
    """The same sum, window by window, from the log-probabilities that the wire gives."""
    with Daemon(MODEL, "--kv-type", "f32", "--context", str(window_tok)) as daemon:
        bos, *tokens = daemon.client.post("/v1/tokenize", json={"prompt": TEXT}).json()["tokens"]
        nats = 0.0
        for at in range(0, len(tokens), window_tok - 1):
            window = [bos, *tokens[at : at + window_tok - 1]]
            answer = daemon.complete(prompt=window, max_tokens=0, echo=True, logprobs=0)
            nats -= sum(answer["choices"][0]["logprobs"]["token_logprobs"][1:])
        return len(tokens), nats / math.log(2)


def test_perplexity_scores_every_token_once(tmp_path):
    text = tmp_path / "text"
    text.write_text(TEXT)
    done = tandem("perplexity", "--model", MODEL, "--text", text, "--kv-type", "f32", "--context", 50, "--json")
    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)
    tokens, bits = bits_by_hand(50)
    assert score["scored_tok"] == tokens
    assert score["bits_per_token"] == pytest.approx(bits / tokens, rel=1e-6)
    assert score["bits_per_byte"] == pytest.approx(bits / len(TEXT.encode()), rel=1e-6)


def test_a_text_that_is_not_utf8_is_refused_in_words(tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"abc\xff\xfe")
    done = tandem("perplexity", "--model", MODEL, "--text", text)
    assert done.returncode == 1
    assert "UTF-8" in done.stderr
