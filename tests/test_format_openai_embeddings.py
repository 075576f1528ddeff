"""Embeddings: input is all there is to bill."""

from __future__ import annotations

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("openai-embeddings.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (2, 12 + 8, 0, 0, 0, 0)
    assert made.requests["output_tokens"].null_count() == 2
    assert made.requests["task"].to_list() == ["index", None]


def test_the_same_text_embedded_again_is_seen_without_keeping_it():
    first, second = (read([line]).requests.row(0, named=True) for line in (LOG[0], LOG[0].replace("0001", "0002")))
    assert first["request_sha"] == second["request_sha"] is not None


def test_a_list_of_anything_else_is_no_embedding():
    made = read([{"object": "list", "data": [{"object": "model", "id": "gpt-4o"}]}])
    assert made.requests.is_empty()


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
