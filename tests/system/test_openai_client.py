"""The official openai package over the Unix socket."""

import openai
import pytest

from daemon import REFERENCE, Daemon
from openai_socket import client_of


@pytest.fixture(scope="module")
def daemon():
    with Daemon(REFERENCE / "gemma4_8l.gguf", "--context", "256") as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon):
    return client_of(daemon)


def test_lists_the_model(client):
    models = client.models.list().data
    assert len(models) == 1
    assert client.models.retrieve(models[0].id).id == models[0].id


def test_completes(client):
    answer = client.completions.create(model="any", prompt="ab", max_tokens=8, temperature=0)
    assert answer.object == "text_completion"
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streams_the_same_text(client):
    options = {"model": "any", "prompt": "hello", "max_tokens": 40, "temperature": 1.0, "seed": 7}
    whole = client.completions.create(**options).choices[0]
    pieces = []
    reason = None
    usage = None
    for chunk in client.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        if chunk.choices:
            pieces.append(chunk.choices[0].text)
            reason = chunk.choices[0].finish_reason or reason
        usage = chunk.usage or usage
    assert "".join(pieces) == whole.text
    assert reason == whole.finish_reason
    assert usage.completion_tokens >= 1


def test_answers_every_prompt_in_order(client):
    prompts = ["one", "two", "three", "four", "five", "six"]
    together = client.completions.create(model="any", prompt=prompts, max_tokens=6, temperature=0)
    assert [choice.index for choice in together.choices] == list(range(len(prompts)))
    for prompt, choice in zip(prompts, together.choices):
        alone = client.completions.create(model="any", prompt=prompt, max_tokens=6, temperature=0)
        assert choice.text == alone.choices[0].text


def test_gives_logprobs_in_the_clients_own_model(client):
    answer = client.completions.create(model="any", prompt="x", max_tokens=5, temperature=0, logprobs=4)
    scores = answer.choices[0].logprobs
    assert len(scores.tokens) == len(scores.token_logprobs) == len(scores.top_logprobs) == len(scores.text_offset)
    for chosen, top in zip(scores.token_logprobs, scores.top_logprobs):
        assert len(top) >= 1
        assert chosen == pytest.approx(max(top.values()), abs=1e-6)  # greedy


def test_stop_strings_end_the_answer_and_are_left_out(client):
    options = {"model": "any", "prompt": "tell", "max_tokens": 60, "temperature": 1.0, "seed": 3}
    text = client.completions.create(**options).choices[0].text
    assert len(text) > 6
    stop = text[3:5]
    stopped = client.completions.create(**options, stop=stop).choices[0]
    assert stopped.text == text[: text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_a_full_context_ends_with_length(client):
    # Greedily, this model repeats itself for ever.
    answer = client.completions.create(model="any", prompt=[5] * 250, max_tokens=1000, temperature=0)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 7  # rows 250 to 255, and a last token that needs no row


@pytest.mark.parametrize(
    "change, field",
    [
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"top_p": 1.5}, "top_p"),
        ({"logprobs": 21}, "logprobs"),
        ({"n": 65}, "n"),
        ({"logit_bias": {"1000000": 1}}, "logit_bias"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 100000]}, "prompt"),
        ({"prompt": [5] * 257}, "prompt"),
        ({"stop": ["x"] * 17}, "stop"),
    ],
)
def test_refuses_by_name_what_is_out_of_range(client, change, field):
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**{"model": "any", "prompt": "x", "max_tokens": 1, **change})
    assert refused.value.body["param"] == field
    assert refused.value.body["type"] == "invalid_request_error"


def test_closing_a_stream_frees_the_sequence(client, daemon):
    stream = client.completions.create(model="any", prompt="x", max_tokens=200, temperature=1.0, stream=True)
    next(iter(stream))
    stream.close()
    assert daemon.idle()
