"""Compressed messages one after the other, each with its length before it, as one stream of lines."""

from __future__ import annotations

from typing import Any


class Framed:
    """Messages of the OpenTelemetry collector's file exporter: a length of four bytes, then a zstd frame, each.

    Every message becomes a line; one of protobuf keeps its length before it. Source: the exporter's README,
    "compression".
    """

    unused_data = b""

    def __init__(self, zstd: Any) -> None:
        self.zstd = zstd
        self.frame: Any = None
        self.length = 4  # bytes of the next length that are still to come
        self.message: list[bytes] | None = None  # of protobuf, until it is whole
        self.begins = True

    @property
    def eof(self) -> bool:
        return self.frame is None and self.length == 4

    def decompress(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        while data:
            if self.frame is None:
                skipped = min(self.length, len(data))
                self.length, data = self.length - skipped, data[skipped:]
                if self.length == 0:
                    self.frame, self.message, self.begins = self.zstd.decompressobj(), None, True
                continue
            found = self.frame.decompress(data)
            if self.begins and found:
                self.message, self.begins = [] if found.startswith(b"\n") else None, False
            (parts if self.message is None else self.message).append(found)
            data = b""
            if self.frame.eof:
                whole = b"".join(self.message or ())
                parts += [b"\n"] if self.message is None else [len(whole).to_bytes(4), whole]
                data, self.frame, self.length = self.frame.unused_data, None, 4
        return b"".join(parts)
