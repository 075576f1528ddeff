"""Spans of OpenTelemetry's GenAI conventions, and exports of them."""

from __future__ import annotations


def value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    if isinstance(v, list):
        return {"arrayValue": {"values": [value(x) for x in v]}}
    if isinstance(v, dict):
        return {"kvlistValue": {"values": attributes(v)}}
    return {"stringValue": v}


def attributes(named):
    return [{"key": key, "value": value(v)} for key, v in named.items()]


def span(own, parent=None, trace="a", seconds=0, name="span", **named):
    made = {
        "traceId": trace * 32,
        "spanId": own * 16,
        "name": name,
        "startTimeUnixNano": str((1_788_336_000 + seconds) * 10**9),
        "endTimeUnixNano": str((1_788_336_001 + seconds) * 10**9),
        "attributes": attributes({key.replace("__", "."): v for key, v in named.items()}),
    }
    return made | ({"parentSpanId": parent * 16} if parent else {})


def export(*spans, scope="demo", version="1", **resource):
    around = {"scope": {"name": scope, "version": version}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource)}, "scopeSpans": [around]}]}


def used(tokens, out=1, **more):
    return {
        "gen_ai__usage__input_tokens": tokens,
        "gen_ai__usage__output_tokens": out,
        "gen_ai__request__model": "m",
    } | more
