"""The Responses API through the official openai package over the Unix socket."""

import json

import jsonschema
import openai
import pytest

from daemon import EMBEDDED, Daemon
from openai_socket import client_of

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["days"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture(scope="module")
def daemon():
    with Daemon(EMBEDDED, "--context", "512") as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon):
    return client_of(daemon)


def test_answers_streamed_and_not_alike(client):
    options = {"model": "any", "input": "What is Debian?", "temperature": 0, "max_output_tokens": 40}
    whole = client.responses.create(**options)
    with client.responses.stream(**options) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert whole.output_text == text == final.output_text != ""
    assert final.status == whole.status
    assert final.usage == whole.usage


def test_calls_a_tool_and_takes_its_result(client):
    options = {"model": "any", "input": "Weather?", "tools": [TOOL], "tool_choice": "required"}
    response = client.responses.create(**options)
    call = response.output[-1]
    assert call.type == "function_call"
    jsonschema.validate(json.loads(call.arguments), TOOL["parameters"])
    items = [
        {"role": "user", "content": "Weather?"},
        *(item.model_dump(exclude_none=True) for item in response.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    after = client.responses.create(model="any", input=items, tools=[TOOL], max_output_tokens=8)
    assert after.usage.input_tokens > response.usage.input_tokens


def test_keeps_to_a_schema(client):
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}},
        "required": ["yes"],
        "additionalProperties": False,
    }
    text = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
    response = client.responses.create(model="any", input="Is it?", text=text)
    jsonschema.validate(json.loads(response.output_text), schema)


def test_keeps_no_conversation(client):
    with pytest.raises(openai.BadRequestError, match="nothing is kept"):
        client.responses.create(model="any", input="hi", previous_response_id="resp_1")
