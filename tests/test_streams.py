"""Streams: whatever a file unpacks to comes in pieces, what unpacks without end is cut, and the reason is told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random

import polars as pl
import pytest
import zstandard
from test_ingest_files import LINES, TEXT, call

from costaudit.errors import LogError
from costaudit.ingest import _blocks, _containers, _elements, _streams, ingest
from costaudit.ingest._files import LogFile, pieces
from costaudit.ingest._streams import STDIN, open_log

PACKED = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress}
packings = pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)


def in_pieces(path, size=1 << 16):
    with open_log(path) as stream:
        while piece := stream.read(size):
            yield piece


@packings
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_members_in_steps_of_any_size_are_the_same_bytes(pack, step, tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "CHUNK", 4 * step)
    monkeypatch.setattr(_streams, "STEP", step)
    (tmp_path / "log").write_bytes(pack(TEXT[:5_000]) + pack(b"") + pack(TEXT[5_000:9_000]))
    assert b"".join(in_pieces(tmp_path / "log", 100)) == TEXT[:9_000]


@packings
def test_a_piece_of_what_unpacks_to_a_quarter_of_a_gigabyte_is_small(pack, tmp_path):
    (tmp_path / "log").write_bytes(pack(bytes(4 << 20)) * 64)
    bound = _streams.STEP * 32_768 + _streams.CHUNK  # the most that zstd makes of a step
    assert 0 < len(next(in_pieces(tmp_path / "log"))) <= bound


@packings
def test_a_stream_that_becomes_a_thousand_times_its_size_is_cut_and_what_stands_before_is_read(
    pack, tmp_path, monkeypatch
):
    monkeypatch.setattr(_streams, "FREE", 1 << 18)
    monkeypatch.setattr(_streams, "RATIO", 100)
    (tmp_path / "log").write_bytes(pack(TEXT + b"\n") + pack(b" " * (1 << 20)) * 8)
    read = ingest([tmp_path])
    assert read.requests.height == 200
    assert read.fates.rejects == {"compressed stream unpacks to more than 100 times its size": 1}
    assert read.fates.balanced


def test_a_log_that_packs_well_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "FREE", 1 << 16)
    (tmp_path / "log").write_bytes(zstandard.compress((TEXT + b"\n") * 5))
    assert ingest([tmp_path]).fates.duplicates == 800


LONG = '{"object": "chat.completion", "note": "' + random.Random(1).randbytes(1 << 20).hex() + '"}'


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_line_longer_than_any_costs_itself(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(_blocks, "LONGEST", 1 << 19)
    monkeypatch.setattr(_streams, "CHUNK", 1 << 16)
    (tmp_path / "log").write_bytes(pack("\n".join([*LINES[:5], LONG, *LINES[5:9]]).encode()))
    read = ingest([tmp_path])
    assert read.requests.height == 9
    assert read.fates.rejects == {_blocks.TOO_LONG: 1}
    assert read.rejects["source_line"].to_list() == [6]
    assert sorted(read.requests["source_line"]) == [1, 2, 3, 4, 5, 7, 8, 9, 10]


def test_a_last_line_without_an_end_is_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_blocks, "LONGEST", 1 << 19)
    (tmp_path / "log.gz").write_bytes(gzip.compress(f"{LINES[0]}\n{LONG}".encode()))
    read = ingest([tmp_path])
    assert (read.requests.height, read.fates.lines) == (1, 2)


def test_a_value_of_an_array_longer_than_any_ends_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(_containers, "LARGE", 1)
    monkeypatch.setattr(_elements, "LONGEST", 1 << 19)
    monkeypatch.setattr(_elements, "CHUNK", 1 << 16)
    (tmp_path / "log.json").write_text(f"[{LINES[0]}, {LONG}, {LINES[1]}]")
    read = ingest([tmp_path])
    assert read.requests.height == 1
    assert read.fates.rejects == {f"a value {_blocks.TOO_LONG}: nothing behind it was read": 1}


def test_a_row_of_a_table_longer_than_any_ends_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(_containers, "LONGEST", 1 << 19)
    row = "2026-09-01T00:00:00Z,gpt-4o,10,5"
    (tmp_path / "log.csv").write_text(
        "\n".join(["started_at,model,input_tokens,output_tokens", row, "x" * (1 << 20), row])
    )
    read = ingest([tmp_path])
    assert f"a line {_blocks.TOO_LONG}: nothing behind it was read" in read.fates.rejects
    assert read.requests.height == 1


class Pipe(io.BytesIO):
    """Standard input that gives so much at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self.most if size is None or size < 0 else min(size, self.most))


@pytest.fixture
def piped(monkeypatch):
    def pipe(data: bytes, most: int = 1 << 16) -> Pipe:
        source = Pipe(data, most)
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": source}))
        return source

    return pipe


def test_standard_input_is_read_as_it_comes_and_stays_open(piped):
    source = piped(TEXT * 100)
    first = next(pieces(LogFile(STDIN, "<stdin>")))
    assert first.data
    assert source.tell() < len(TEXT) * 20
    assert not source.closed


def test_standard_input_that_is_closed_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(LogError, match="standard input is closed"):
        ingest(["-"])


@packings
def test_a_slow_writer_hides_no_compression(pack, piped):
    piped(pack(TEXT), most=3)
    assert ingest(["-"]).requests.height == 200


def test_a_long_line_of_standard_input_is_read(piped):
    piped(f"{call(1, note='x' * (9 << 20))}\n{call(2)}".encode())
    assert ingest(["-"]).requests.height == 2


def test_a_parquet_file_comes_through_standard_input(piped, tmp_path):
    row = {"model": "gpt-4o", "input_tokens": 10, "output_tokens": 5, "started_at": "2026-09-01T00:00:00Z"}
    pl.DataFrame([row]).write_parquet(tmp_path / "log.parquet")
    piped((tmp_path / "log.parquet").read_bytes())
    assert ingest(["-"]).requests["input_tokens"].to_list() == [10]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_sixteen_bit_text_is_recoded_as_it_comes(encoding, tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "CHUNK", 101)  # pairs are split
    mark = b"\xff\xfe" if encoding.endswith("le") else b"\xfe\xff"
    text = "\n".join(call(n, note="😀" * 40) for n in range(200))
    (tmp_path / "log").write_bytes(mark + text.encode(encoding))
    (tmp_path / "same").write_text(text)
    read = ingest([tmp_path / "log"])
    assert read.requests.height == 200
    assert read.requests["request_sha"].equals(ingest([tmp_path / "same"]).requests["request_sha"])


def test_sixteen_bit_text_is_never_held_as_a_whole(piped):
    source = piped(("\n".join(LINES * 100)).encode("utf-16"))
    next(pieces(LogFile(STDIN, "<stdin>")))
    assert source.tell() < 2 * len(TEXT) * 60
