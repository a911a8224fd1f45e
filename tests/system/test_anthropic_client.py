"""The official anthropic package over the Unix socket."""

import json

import anthropic
import httpx2  # what the package makes its requests with, since version 2
import jsonschema
import pytest

from daemon import EMBEDDED, Daemon

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["days"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def daemon():
    with Daemon(EMBEDDED, "--context", "512") as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon):
    transport = httpx2.HTTPTransport(uds=str(daemon.socket))
    return anthropic.Anthropic(
        base_url="http://localhost", api_key="unused", http_client=httpx2.Client(transport=transport), max_retries=0
    )


def ask(text):
    return [{"role": "user", "content": text}]


def test_answers_streamed_and_not_alike(client):
    options = {"model": "any", "max_tokens": 40, "extra_body": {"top_k": 1}, "messages": ask("What is Debian?")}
    whole = client.messages.create(**options)
    with client.messages.stream(**options) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].text == text == final.content[0].text
    assert final.stop_reason == whole.stop_reason in ("end_turn", "max_tokens")
    assert final.usage.output_tokens == whole.usage.output_tokens <= 40
    counted = client.messages.count_tokens(model="any", messages=ask("What is Debian?"))
    assert counted.input_tokens == whole.usage.input_tokens == final.usage.input_tokens


def test_says_which_sequence_stopped_it(client):
    options = {"model": "any", "max_tokens": 40, "extra_body": {"top_k": 1}, "messages": ask("What is Debian?")}
    text = client.messages.create(**options).content[0].text
    word = text.split()[2]
    cut = client.messages.create(**options, stop_sequences=[word])
    assert cut.stop_reason == "stop_sequence"
    assert cut.stop_sequence == word
    assert cut.content[0].text == text[: text.index(word)]


@pytest.mark.parametrize("streamed", [False, True])
def test_calls_a_tool_when_it_must(client, streamed):
    options = {
        "model": "any",
        "max_tokens": 200,
        "messages": ask("Weather?"),
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "get_weather"},
    }
    if streamed:
        with client.messages.stream(**options) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**options)
    assert message.stop_reason == "tool_use"
    call = next(block for block in message.content if block.type == "tool_use")
    assert call.name == "get_weather"
    jsonschema.validate(call.input, TOOL["input_schema"])

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    messages = [
        *ask("Weather?"),
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    after = client.messages.create(model="any", max_tokens=8, messages=messages, tools=[TOOL])
    assert after.usage.input_tokens > message.usage.input_tokens


def test_keeps_to_a_schema(client):
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}},
        "required": ["yes"],
        "additionalProperties": False,
    }
    message = client.messages.create(
        model="any",
        max_tokens=100,
        messages=ask("Is it?"),
        extra_body={"output_config": {"format": {"type": "json_schema", "schema": schema}}},
    )
    jsonschema.validate(json.loads(message.content[0].text), schema)


def test_the_systems_words_among_the_messages_are_read(client):
    def count(*between):
        messages = [*ask("What is apt?"), {"role": "assistant", "content": "A tool."}, *between, *ask("And dpkg?")]
        return client.messages.count_tokens(model="any", messages=messages).input_tokens

    assert count({"role": "system", "content": "Be brief."}) > count() + 3
    told = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}]
    assert client.messages.create(model="any", max_tokens=4, messages=[*ask("hi"), *told]).usage.output_tokens <= 4


def test_what_agents_add_unasked_is_taken(client):
    message = client.beta.messages.create(
        model="any",
        max_tokens=60,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=ask("Weather?"),
        tools=[{**TOOL, "defer_loading": False, "cache_control": {"type": "ephemeral"}}],
        metadata={"user_id": "u"},
        thinking={"type": "disabled"},
        extra_body={
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "diagnostics": {"previous_message_id": None},
        },
    )
    assert message.stop_reason in ("end_turn", "max_tokens", "tool_use")


def test_the_tool_runner_goes_on_without_a_thread(client):
    """It asks for one first, since version 2.12 of the package."""
    days = []

    @anthropic.beta_tool(name="get_weather", description="The weather in a city.", input_schema=TOOL["input_schema"])
    def get_weather(**arguments) -> str:
        days.append(arguments["days"])
        return "rain"

    runner = client.beta.messages.tool_runner(
        model="any",
        max_tokens=100,
        messages=ask("Weather for three days?"),
        tools=[get_weather],
        tool_choice={"type": "any"},
        max_iterations=2,
    )
    assert [message.stop_reason for message in runner][0] == "tool_use"
    assert days and all(1 <= one <= 9 for one in days)


def test_lists_the_model_in_its_own_words(client):
    models = list(client.models.list())
    assert [model.type for model in models] == ["model"]
    assert models[0].display_name == models[0].id
    assert client.models.retrieve(models[0].id).created_at == models[0].created_at


def test_leaving_ends_the_request(client, daemon):
    with client.messages.stream(model="any", max_tokens=400, messages=ask("What is Debian?")) as stream:
        next(iter(stream))
    assert daemon.idle()


def test_refuses_in_anthropics_words(client):
    with pytest.raises(anthropic.BadRequestError, match="temperature") as refused:
        client.messages.create(model="any", max_tokens=1, extra_body={"temperature": 1.5}, messages=ask("hi"))
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    with pytest.raises(anthropic.BadRequestError, match="image"):
        client.messages.create(model="any", max_tokens=1, messages=[{"role": "user", "content": [image]}])
