"""Values nested almost as deeply as JSON can be never end a run, and a call that holds one is still a call."""

from __future__ import annotations

import json

import pytest
from samples import read, sample

DEEP = '{"a":' * 900 + "1" + "}" * 900


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("openai-chat", '{"object":"chat.completion","id":"deep","model":"m","choices":[{"message":{"role":"assistant",'
         '"tool_calls":[{"id":"t","function":{"name":"f","arguments":@}}]}}]}'),
        ("anthropic-messages", '{"type":"message","role":"assistant","id":"deep","model":"m","stop_reason":"tool_use",'
         '"usage":{"input_tokens":1},"content":[{"type":"tool_use","id":"t","name":"f","input":@}]}'),
        ("gemini-api", '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":@}}]},'
         '"finishReason":"STOP","more_of_it":@}],"usageMetadata":{"promptTokenCount":1}}'),
        ("bedrock", '{"schemaType":"ModelInvocationLog","requestId":"deep","modelId":"m",'
         '"input":{"inputBodyJson":{"messages":[{"role":"user","content":[{"toolUse":{"input":@}}]}]}},"output":{}}'),
    ],
)  # fmt: skip
def test_a_call_with_a_deep_value_is_counted_like_any_other(name, record):
    log = sample(f"{name}.jsonl")
    sound = read(log)
    made = read([*log, record.replace("@", DEEP)])
    assert made.requests.height == sound.requests.height + 1
    assert made.fates.rejects == sound.fates.rejects
    assert made.fates.balanced


def test_a_deep_argument_of_a_table_costs_no_call():
    row = json.dumps({"model": "m", "input_tokens": 1, "output_tokens": 1, "tool_args": "@"})
    made = read([row, row.replace('"@"', DEEP)])
    assert not made.fates.rejects
    assert made.requests["input_tokens"].to_list() == [1, 1]
