"""OTLP as protobuf: what another encoder writes is read as the same calls that stand in its JSON."""

from __future__ import annotations

import base64
import json

import pytest
import zstandard
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from samples import read, sample, spent

from costaudit.ingest import ingest

WHERE = ["source_file", "source_line", "source_offset"]


def encoded(record):
    """The message of an export, by the encoder of OpenTelemetry's own definitions; its ids are base64 in JSON."""
    kind = TracesData if "resourceSpans" in record else LogsData
    return ParseDict(_based(record), kind(), ignore_unknown_fields=True).SerializeToString()


NOW = {"instrumentationLibrarySpans": "scopeSpans", "instrumentationLibrary": "scope"}  # field 2 and 1 ever since


def _based(value):
    if isinstance(value, list):
        return [_based(part) for part in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {
        NOW.get(key, key): base64.b64encode(bytes.fromhex(part)).decode() if key in ids and part else _based(part)
        for key, part in value.items()
    }


def prefixed(*messages):
    return b"".join(len(message).to_bytes(4) + message for message in messages)


def exports():
    """The samples that are exports, as programs that know all of the definitions would write them."""
    found = [json.loads(line) for line in sample("otlp.jsonl")]
    return [record for record in found if "resourceSpans" in record or "resourceLogs" in record]


def attribute(key, **value):
    return {"key": key, "value": value}


SPAN = {
    "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "parentSpanId": "00f067aa0ba902b8",
    "name": "chat é", "kind": 3, "startTimeUnixNano": "1788336000000000001", "endTimeUnixNano": "1788336002000000000",
    "traceState": "ot=th:8", "droppedAttributesCount": 3, "flags": 257, "status": {"code": 2, "message": "no"},
    "events": [{"name": "exception", "timeUnixNano": "1",
                "attributes": [attribute("exception.type", stringValue="Timeout")]}],
    "links": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b9"}],
    "attributes": [
        attribute("gen_ai.request.model", stringValue="gpt-5"),
        attribute("gen_ai.usage.input_tokens", intValue="100"),
        attribute("gen_ai.usage.output_tokens", intValue="20"),
        attribute("gen_ai.usage.cost", doubleValue=0.0125),
        attribute("gen_ai.request.stream", boolValue=True),
        attribute("gen_ai.response.finish_reasons", arrayValue={"values": [{"stringValue": "stop"}]}),
        attribute("gen_ai.input.messages", arrayValue={"values": [{"kvlistValue": {"values": [
            attribute("role", stringValue="user"), attribute("content", stringValue="hi"),
            attribute("n", intValue="-5"), attribute("blob", bytesValue="AAEC")]}}]}),
    ],
}  # fmt: skip
EXPORT = {
    "resourceSpans": [
        {
            "resource": {"attributes": [attribute("service.name", stringValue="desk")]},
            "scopeSpans": [{"scope": {"name": "s", "version": "1"}, "schemaUrl": "u", "spans": [SPAN]}],
            "schemaUrl": "https://opentelemetry.io/schemas/1.41.0",
        }
    ]
}


@pytest.mark.parametrize("packed", ["length", "zstd", "one"])
def test_what_the_collector_writes_is_read_as_its_json_is(tmp_path, packed):
    logs = [EXPORT, *exports()]
    messages = [encoded(record) for record in logs]
    for n, message in enumerate(messages if packed == "one" else [None]):
        data = message if packed == "one" else prefixed(*messages)
        if packed == "zstd":
            data = prefixed(*map(zstandard.compress, messages))
        (tmp_path / f"{n}.binpb").write_bytes(data)
    made, wanted = ingest([tmp_path]), read(logs)
    assert len(logs) > 5
    assert made.requests.drop(WHERE).equals(wanted.requests.drop(WHERE))
    assert (made.fates.skipped, made.fates.rejects) == (wanted.fates.skipped, wanted.fates.rejects)


def test_metrics_are_left_out_as_those_of_json_are(tmp_path):
    point = {"metrics": [{"name": "gen_ai.client.tok", "sum": {"dataPoints": [{"asInt": "5", "timeUnixNano": "9"}]}}]}
    data = ParseDict({"resourceMetrics": [{"scopeMetrics": [point]}]}, MetricsData()).SerializeToString()
    (tmp_path / "a").write_bytes(prefixed(data, encoded(EXPORT)))
    made = ingest([tmp_path])
    assert spent(made) == (1, 100, 0, 0, 20, 0)
    assert made.fates.skipped == {"metrics": 1}


@given(st.integers(0, 400), st.binary(max_size=3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_damaged_message_costs_itself_or_what_is_behind_it(tmp_path_factory, at, instead, cut):
    message = encoded(EXPORT)
    at %= len(message)
    damaged = message[:at] if cut else message[:at] + instead + message[at + len(instead) :]
    path = tmp_path_factory.mktemp("proto") / "a"
    path.write_bytes(prefixed(message) + len(message).to_bytes(4) + damaged[: len(message)])
    made = ingest([path])
    assert made.fates.balanced
    assert made.requests["input_tokens"][0] == 100 or made.requests.height == 2
