"""tandem bench and tandem perplexity, which run a daemon of their own."""

import json
import math
import os
import signal
import subprocess

import pytest

from daemon import BUILD, EMBEDDED, PATIENCE, REFERENCE, Daemon, eventually, tandem

MODEL = REFERENCE / "gemma4_8l.gguf"
TEXT = "Every token of this text is scored once, also where windows meet. " * 3


def test_bench_measures_every_length():
    done = tandem("bench", "--prompt", "20,7", EMBEDDED, "--generate", 8, "--runs", 3, "--threads", 2, "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["threads"] == 2
    assert measured["memory_gb_per_s"] > 0
    assert measured["load_s"] > 0
    assert measured["resident_bytes"] > EMBEDDED.stat().st_size
    assert [result["prompt_tok"] for result in measured["results"]] == [20, 7]
    for result in measured["results"]:
        for name in ("prompt_tok_per_s", "first_token_ms", "decode_tok_per_s", "decode_gb_per_s"):
            assert 0 < result[name]["min"] <= result[name]["median"] <= result[name]["max"]
        # Two ways to say the same.
        assert result["first_token_ms"]["max"] * result["prompt_tok_per_s"]["min"] / 1e3 == pytest.approx(result["prompt_tok"])
        share = result["decode_gb_per_s"]["median"] / measured["memory_gb_per_s"]
        assert result["decode_share_of_memory"]["median"] == pytest.approx(share)


def test_bench_in_words():
    done = tandem("bench", EMBEDDED, "--prompt", 20, "--generate", 8, "--runs", 1)
    assert done.returncode == 0, done.stderr
    assert "memory is read at" in done.stdout
    assert "20 prompt tokens" in done.stdout
    assert "decode_share_of_memory" in done.stdout


def test_more_threads_than_cores_share_them_and_it_is_said():
    cores = json.loads(tandem("bench", EMBEDDED, "--prompt", 7, "--generate", 2, "--runs", 1, "--json").stdout)["threads"]
    done = tandem("bench", EMBEDDED, "--prompt", 7, "--generate", 2, "--runs", 1, "--threads", 2 * cores + 1)
    assert done.returncode == 0, done.stderr
    assert f": {2 * cores + 1} threads on {cores} cores" in done.stdout


def test_what_is_no_model_is_told_by_the_exit_status(tmp_path):
    text = tmp_path / "text"
    text.write_text(TEXT)
    for command in (("bench", text), ("perplexity", "--model", text, "--text", text)):
        done = tandem(*command)
        assert done.returncode == 3, done.stderr
        assert "not a GGUF file" in done.stderr


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    command = [BUILD / "tandem", "bench", EMBEDDED, "--prompt", "4", "--runs", "1000", "--generate", "1000"]
    for number in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL) as process:
            assert eventually(lambda: list(tmp_path.glob("*/tandem.sock")), 60 * PATIENCE)
            process.send_signal(number)
            assert process.wait(60 * PATIENCE) == -number
        assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_empty_text(tmp_path):
    done = tandem("perplexity", "--model", MODEL, "--text", tmp_path)
    assert done.returncode == 1
    assert "Is a directory" in done.stderr


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
