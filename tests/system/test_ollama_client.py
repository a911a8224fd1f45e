"""The official ollama package, over a loopback port: it knows no Unix sockets."""

import json

import jsonschema
import ollama
import pytest

from daemon import EMBEDDED, Daemon

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "size": {"type": "integer"}},
    "required": ["name", "size"],
    "additionalProperties": False,
}


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
      city: its name
    """
    return f"rain in {city}"


@pytest.fixture(scope="module")
def daemon():
    with Daemon(EMBEDDED, "--context", "512", "--listen", "127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon):
    return ollama.Client(host=daemon.tcp_url())


def ask(text):
    return [{"role": "user", "content": text}]


def test_lists_and_describes_the_model(client, daemon):
    model = client.list().models[0]
    assert model.model == EMBEDDED.stem
    assert len(model.digest) == 64
    assert model.details.quantization_level == "Q4_0"
    shown = client.show(model.model)
    assert set(shown.capabilities) == {"completion", "tools", "thinking"}
    running = client.ps().models[0]
    assert running.size_vram == 0
    plan = daemon.client.get("/v1/plan").json()
    assert running.size == plan["plan"]["totals"]["ram_bytes"]


def test_chats_streamed_and_not_alike(client):
    options = {"seed": 4, "num_predict": 40}
    whole = client.chat("any", ask("What is Debian?"), options=options)
    pieces = list(client.chat("any", ask("What is Debian?"), options=options, stream=True))
    assert whole.message.content
    assert "".join(piece.message.content for piece in pieces) == whole.message.content
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1].done_reason == whole.done_reason
    assert pieces[-1].eval_count == whole.eval_count <= 40
    assert pieces[-1].prompt_eval_count == whole.prompt_eval_count
    assert pieces[-1].total_duration > 0


def test_generates_from_a_prompt(client):
    answer = client.generate("any", "What is Debian?", options={"seed": 4, "num_predict": 40})
    assert answer.response == client.chat(
        "any", ask("What is Debian?"), options={"seed": 4, "num_predict": 40}
    ).message.content
    raw = client.generate("any", "Debian is", raw=True, options={"num_predict": 4, "temperature": 0})
    assert raw.eval_count <= 4
    assert raw.prompt_eval_count < answer.prompt_eval_count


def test_stops_where_it_is_told(client):
    options = {"temperature": 0, "num_predict": 40}
    text = client.chat("any", ask("What is Debian?"), options=options).message.content
    word = text.split()[2]
    cut = client.chat("any", ask("What is Debian?"), options=options | {"stop": [word]})
    assert cut.message.content == text[: text.index(word)]
    assert cut.done_reason == "stop"


@pytest.mark.parametrize("seed", range(3))
def test_keeps_to_a_schema(client, seed):
    answer = client.chat("any", ask("What is Debian?"), format=SCHEMA, options={"seed": seed, "num_predict": 400})
    assert answer.done_reason == "stop"
    jsonschema.validate(json.loads(answer.message.content), SCHEMA)


def test_tools_travel_both_ways(client):
    messages = ask("Weather?")
    messages.append(
        {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Ulm"}}}]}
    )
    messages.append({"role": "tool", "content": "rain", "tool_name": "get_weather"})
    answer = client.chat("any", messages, tools=[get_weather], options={"num_predict": 8})
    without = client.chat("any", ask("Weather?"), options={"num_predict": 8})
    assert answer.prompt_eval_count > without.prompt_eval_count + 20


def test_leaving_ends_the_request(client, daemon):
    stream = client.chat("any", ask("What is Debian?"), options={"num_predict": -1, "seed": 1}, stream=True)
    next(stream)
    stream.close()
    assert daemon.idle()


def test_refuses_by_name(client):
    with pytest.raises(ollama.ResponseError, match="num_ctx") as refused:
        client.chat("any", ask("hi"), options={"num_ctx": 100000})
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="images"):
        client.chat("any", [{"role": "user", "content": "hi", "images": [b"x"]}])
