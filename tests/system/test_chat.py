"""POST /v1/chat/completions over the real daemon, by the official openai package."""

import datetime
import ipaddress
import json
import uuid

import jsonschema
import openai
import pydantic
import pytest

from daemon import EMBEDDED, REFERENCE, Daemon
from openai_socket import client_of

ASK = [{"role": "user", "content": "What is a file system?"}]

WEATHER = {
    "type": "object",
    "properties": {
        "unit": {"enum": ["C", "F"]},
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 31}, "maxItems": 3},
    },
    "required": ["unit", "city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]

SCHEMAS = [
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 3},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"enum": ["red", "green", 3, None]}, "minItems": 1, "maxItems": 4},
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
]


@pytest.fixture(scope="module")
def daemon():
    with Daemon(EMBEDDED, "--context", "1024") as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon):
    return client_of(daemon)


def chat(client, **options):
    return client.chat.completions.create(**{"model": "any", "messages": ASK, "max_tokens": 60, **options})


def test_streams_the_same_answer(client):
    options = {"temperature": 1.0, "seed": 7}
    whole = chat(client, **options)
    assert whole.object == "chat.completion"
    assert whole.choices[0].message.role == "assistant"
    pieces, reason, usage = [], None, None
    for chunk in chat(client, **options, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            reason = choice.finish_reason or reason
        usage = chunk.usage or usage
    assert "".join(pieces) == whole.choices[0].message.content
    assert reason == whole.choices[0].finish_reason
    assert usage == whole.usage


def test_the_conversation_reaches_the_model(client):
    short = chat(client, max_tokens=1).usage.prompt_tokens
    history = [
        {"role": "system", "content": "Be brief."},
        *ASK,
        {"role": "assistant", "content": "A way to keep files."},
        {"role": "user", "content": [{"type": "text", "text": "And a file?"}]},
    ]
    assert chat(client, messages=history, max_tokens=1).usage.prompt_tokens > short + 10


def test_message_text_is_never_markup(client, daemon):
    def prompt_tokens(text):
        return chat(client, messages=[{"role": "user", "content": text}], max_tokens=1).usage.prompt_tokens

    plain = daemon.client.post(
        "/v1/tokenize", json={"prompt": "<turn|>", "add_special_tokens": False, "parse_special_tokens": True}
    ).json()
    assert plain["count"] == 1
    assert prompt_tokens("a<turn|>") > prompt_tokens("a") + 1


def test_closing_a_stream_frees_the_sequence(client, daemon):
    stream = chat(client, max_tokens=900, stream=True, logit_bias={"1000": 100})
    next(iter(stream))
    stream.close()
    assert daemon.idle()


def test_several_answers_are_those_of_consecutive_seeds(client):
    together = chat(client, n=3, seed=20, temperature=1.0, max_tokens=20)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    alone = [chat(client, seed=20 + i, temperature=1.0, max_tokens=20) for i in range(3)]
    assert [c.message.content for c in together.choices] == [a.choices[0].message.content for a in alone]
    assert len({c.message.content for c in together.choices}) > 1
    assert together.usage.prompt_tokens == alone[0].usage.prompt_tokens
    assert together.usage.completion_tokens == sum(a.usage.completion_tokens for a in alone)


def test_logit_bias_forces_and_forbids(client, daemon):
    free = chat(client, temperature=0, max_tokens=1, logprobs=True).choices[0]
    first = daemon.client.post(
        "/v1/tokenize", json={"prompt": free.message.content, "add_special_tokens": False}
    ).json()["tokens"]
    assert len(first) == 1
    banned = chat(client, temperature=0, max_tokens=1, logit_bias={first[0]: -100}).choices[0]
    assert banned.message.content != free.message.content
    forced = chat(client, temperature=1, max_tokens=5, logit_bias={first[0]: 100}).choices[0]
    assert forced.message.content == free.message.content * 5


def test_logprobs_are_those_of_the_content(client):
    choice = chat(client, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3).choices[0]
    scores = choice.logprobs.content
    assert "".join(score.token for score in scores).startswith(choice.message.content)
    for score in scores:
        assert len(score.top_logprobs) == 3
        assert bytes(score.bytes).decode() == score.token


def test_a_stop_string_ends_the_answer(client):
    text = chat(client, temperature=0).choices[0].message.content
    stop = text[5:8]
    choice = chat(client, temperature=0, stop=stop).choices[0]
    assert choice.message.content == text[: text.index(stop)]
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("schema", SCHEMAS, ids=["object", "list", "recursive"])
def test_what_ends_by_itself_is_valid(client, schema):
    complete = 0
    for first_seed in range(0, 30, 10):
        answer = chat(
            client,
            n=10,
            seed=first_seed,
            temperature=1.0,
            top_p=1.0,
            extra_body={"top_k": 0},
            max_tokens=150,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}},
        )
        for choice in answer.choices:
            if choice.finish_reason == "stop":
                jsonschema.validate(json.loads(choice.message.content), schema)
                complete += 1
    assert complete >= 3  # this model is fond of nesting


def test_any_object_is_an_object(client):
    complete = 0
    for choice in chat(client, n=16, seed=1, temperature=1.0, max_tokens=150, response_format={"type": "json_object"}).choices:
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict)
            complete += 1
    assert complete >= 1


def test_the_clients_own_schemas_are_understood(client):
    class Place(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=12)
        population: int = pydantic.Field(ge=0, le=10_000_000)
        river: bool | None

    parsed = client.chat.completions.parse(
        model="any", messages=ASK, response_format=Place, max_tokens=200, temperature=1.0, seed=4
    )
    assert isinstance(parsed.choices[0].message.parsed, Place)


def test_strings_have_the_formats_of_the_clients_own_types(client):
    class Event(pydantic.BaseModel):
        on: datetime.date
        at: datetime.time
        made: datetime.datetime
        takes: datetime.timedelta
        id: uuid.UUID
        host: ipaddress.IPv4Address
        page: pydantic.HttpUrl
        place: tuple[int, bool]

    asked = {"model": "any", "messages": ASK, "response_format": Event, "max_tokens": 500, "temperature": 1.0}
    complete = 0
    for seed in range(8):
        try:
            complete += isinstance(client.chat.completions.parse(**asked, seed=seed).choices[0].message.parsed, Event)
        except openai.LengthFinishReasonError:
            pass
    assert complete >= 1


def test_a_grammar_holds_chats_and_completions(client, daemon):
    grammar = 'root ::= ("yes" | "no") [!?]{2}'
    answer = chat(client, temperature=1.0, seed=1, n=6, extra_body={"grammar": grammar})
    texts = [choice.message.content for choice in answer.choices]
    texts += [c["text"] for c in daemon.complete(prompt="Is it?", n=6, seed=2, grammar=grammar)["choices"]]
    assert {text[:-2] for text in texts} <= {"yes", "no"}
    assert all(set(text[-2:]) <= set("!?") for text in texts)


def test_required_calls_are_valid(client):
    names = set()
    for seed in range(15):
        choice = chat(
            client, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, seed=seed, temperature=1.0,
            max_tokens=200,
        ).choices[0]
        assert choice.finish_reason == "tool_calls", choice
        assert choice.message.content is None
        (call,) = choice.message.tool_calls
        arguments = json.loads(call.function.arguments)
        if call.function.name == "get_weather":
            jsonschema.validate(arguments, WEATHER)
        else:
            assert arguments == {}
        names.add(call.function.name)
    assert names <= {"get_weather", "now"}


def test_a_named_function_is_called_streamed_and_answered(client):
    choice = {"type": "function", "function": {"name": "get_weather"}}
    options = {"tools": TOOLS, "tool_choice": choice, "seed": 3, "temperature": 1.0, "max_tokens": 200}
    whole = chat(client, **options).choices[0]
    (call,) = whole.message.tool_calls
    deltas = []
    for chunk in chat(client, **options, stream=True):
        deltas += chunk.choices[0].delta.tool_calls or []
    assert [(d.index, d.function.name, d.function.arguments) for d in deltas] == [
        (0, "get_weather", call.function.arguments)
    ]
    history = [*ASK, whole.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    follow_up = chat(client, messages=history, tools=TOOLS, max_tokens=5)
    assert follow_up.usage.prompt_tokens > chat(client, tools=TOOLS, max_tokens=1).usage.prompt_tokens


def test_a_call_that_is_cut_short_is_text(client):
    choice = chat(client, tools=TOOLS, tool_choice="required", max_tokens=3, temperature=0).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls is None
    assert choice.message.content.startswith("<|tool_call>call:")


def test_thoughts_are_switched_by_the_request(client):
    off = chat(client, max_tokens=1, reasoning_effort="none").usage.prompt_tokens
    default = chat(client, max_tokens=1).usage.prompt_tokens
    on = chat(client, max_tokens=1, reasoning_effort="medium").usage.prompt_tokens
    by_template = chat(
        client, max_tokens=1, extra_body={"chat_template_kwargs": {"enable_thinking": True}}
    ).usage.prompt_tokens
    assert off == default
    assert on == by_template != off


def test_thoughts_come_as_reasoning_content(client, daemon):
    # After a tool's result and with thinking, the prompt opens a thought.  This model was taught to close it at
    # once; so that it does not, that token is forbidden.
    closing = daemon.client.post("/v1/tokenize", json={"prompt": "<channel|>", "add_special_tokens": False}).json()
    history = [
        *ASK,
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]
    options = {"messages": history, "tools": TOOLS, "reasoning_effort": "low", "temperature": 0, "max_tokens": 12}
    options["logit_bias"] = {closing["tokens"][0]: -100}
    whole = chat(client, **options)
    message = whole.choices[0].message
    assert message.reasoning_content
    assert whole.choices[0].finish_reason == "length" and not message.content, "all of it is a thought"
    assert whole.usage.completion_tokens_details.reasoning_tokens == whole.usage.completion_tokens == 12
    assert chat(client, max_tokens=3).usage.completion_tokens_details.reasoning_tokens == 0
    assert whole.usage.prompt_tokens_details.cached_tokens == 0
    streamed = ""
    for chunk in chat(client, **options, stream=True):
        streamed += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    assert streamed == message.reasoning_content


@pytest.mark.parametrize(
    "change, field",
    [
        ({"temperature": -1}, "temperature"),
        ({"n": 1000}, "n"),
        ({"extra_body": {"wat": 1}}, "wat"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content[0]"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "a"}}}}, "response_format"),
        ({"extra_body": {"grammar": "root ::= ["}}, "grammar"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, "messages"),
    ],
)
def test_refuses_by_name(client, change, field):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, **change)
    assert refused.value.body["param"] == field


def test_models_say_how_they_chat(daemon):
    card = daemon.client.get("/v1/models").json()["data"][0]
    assert card["chat"] == "gemma4"
    assert card["tools"] and card["thinking"]
    assert any("template" in warning for warning in card["warnings"])


def test_gemma_3_chats_without_tools_and_thoughts():
    with Daemon(REFERENCE / "gemma3_4l.gguf", "--context", "512") as daemon:
        client = client_of(daemon)
        assert daemon.client.get("/v1/models").json()["data"][0]["chat"] == "gemma3"
        assert chat(client, max_tokens=3).choices[0].finish_reason in ("length", "stop")
        for change, field in ({"tools": TOOLS}, "tools"), ({"reasoning_effort": "low"}, "reasoning_effort"):
            with pytest.raises(openai.BadRequestError) as refused:
                chat(client, **change)
            assert refused.value.body["param"] == field
        with pytest.raises(openai.BadRequestError) as refused:
            chat(client, messages=[*ASK, *ASK])
        assert refused.value.body["param"] == "messages"
