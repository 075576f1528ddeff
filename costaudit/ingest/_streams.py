"""The bytes of a file or of standard input as a stream: undone compression, UTF-8, and never more than a piece at once.

What unpacks without end is no log: a stream is cut where it has become a thousand times its size. Logs that repeat the
same conversation in every line reach a hundred.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, cast

from costaudit.errors import LogError

CHUNK = 1 << 20  # bytes read at a time
STDIN = Path("-")
MAGIC = 8  # bytes that tell how a file is packed
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what a text begins with that is to be `Recoded`
STEP = 2 << 10  # bytes given at a time to a decompressor whose output has no bound: zstd makes at most 64 MB of them
RATIO, FREE = 1_000, 1 << 28  # how much larger than its packed size a stream may become, and from where that is asked


class Read(NamedTuple):
    """Bytes of a stream, and the damage that it ends in."""

    data: bytes
    problem: str = ""


class Inflated(io.RawIOBase):
    """A compressed stream, member after member; what stands before damage is still read.

    start    a decompressor for the next member
    most     arguments that bound what a decompressor gives at once, where it takes some
    problem  what was wrong once the end is reached, or empty
    """

    def __init__(
        self,
        raw: IO[bytes],
        start: Callable[[], Any],
        damage: tuple[type[Exception], ...],
        most: tuple[int, ...] = (CHUNK,),
    ) -> None:
        self.raw, self.start, self.damage, self.most = raw, start, damage, most
        self.member: Any = None  # the libraries share methods and no type
        self.held = b""
        self.taken = self.given = 0
        self.problem = ""

    def read(self, size: int = -1, /) -> bytes:
        parts: list[bytes] = []
        got = 0
        while (size < 0 or got < size) and not self.problem:
            waiting = self.member is not None and not getattr(self.member, "needs_input", True)
            data = b"" if waiting else self.held or self._packed()
            if not data and not waiting:
                if self.member is not None:
                    self.problem = "compressed stream is cut off"
                break
            parts.append(self._undone(data))
            got += len(parts[-1])
        return b"".join(parts)

    def _packed(self) -> bytes:
        data = self.raw.read(CHUNK // 4 if self.most else STEP)
        self.taken += len(data)
        return data

    def _undone(self, data: bytes) -> bytes:
        if self.member is None:
            self.member = self.start()
        try:
            found: bytes = self.member.decompress(data, *self.most)
        except self.damage as problem:
            self.problem = f"compressed stream is damaged ({problem})"
            return b""
        self.held = getattr(self.member, "unconsumed_tail", b"")
        if self.member.eof:
            self.held, self.member = self.member.unused_data.lstrip(b"\x00"), None
        self.given += len(found)
        if self.given > FREE and self.given > RATIO * self.taken:
            self.problem = f"compressed stream unpacks to more than {RATIO:,} times its size"
        return found

    def close(self) -> None:
        self.raw.close()
        super().close()


Stream: TypeAlias = "IO[bytes] | Inflated | Recoded"


class _Borrowed(io.RawIOBase):
    """Standard input, which stays open for whoever lent it."""

    begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        source: Any = sys.stdin.buffer
        data = source.read1(len(buffer))
        while 0 < len(data) < MAGIC and not self.begun and (more := source.read1(MAGIC)):
            data += more  # a slow writer must not hide what its log is packed with
        self.begun = True
        buffer[: len(data)] = data
        return len(data)


class Recoded(io.RawIOBase):
    """UTF-16 text as UTF-8; characters that are none are replaced."""

    def __init__(self, head: Read, stream: Stream) -> None:
        self.stream, self.held = stream, head.data
        self.problem = head.problem
        self.ended = bool(head.problem)
        self.decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def read(self, size: int = -1, /) -> bytes:
        parts: list[bytes] = []
        got = 0
        while (size < 0 or got < size) and (self.held or not self.ended):
            data, self.held = self.held, b""
            if not data:
                data, self.problem = read_of(self.stream, CHUNK)
                self.ended = not data or bool(self.problem)
            parts.append(self.decoder.decode(data, final=self.ended).encode())
            got += len(parts[-1])
        return b"".join(parts)


def open_log(path: Path) -> IO[bytes] | Inflated:
    """The file's bytes, decompressed by its magic number; LogError where standard input is closed."""
    if path == STDIN and sys.stdin is None:
        raise LogError("standard input is closed", hint="pipe a log into it, or name files")
    raw = io.BufferedReader(_Borrowed()) if path == STDIN else path.open("rb")
    magic = raw.peek(MAGIC)[:MAGIC]  # a pipe cannot go back
    if magic.startswith(b"\x1f\x8b"):
        from isal import isal_zlib

        return Inflated(raw, lambda: isal_zlib.decompressobj(wbits=31), (cast(type[Exception], isal_zlib.error),))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        return Inflated(raw, zstandard.ZstdDecompressor().decompressobj, (zstandard.ZstdError,), most=())
    if magic[4:] == b"\x28\xb5\x2f\xfd":
        import zstandard

        from costaudit.ingest._prefixed import Framed

        return Inflated(raw, lambda: Framed(zstandard.ZstdDecompressor()), (zstandard.ZstdError,), most=())
    if magic.startswith(b"BZh"):
        return Inflated(raw, bz2.BZ2Decompressor, (OSError, ValueError))
    if magic.startswith(b"\xfd7zXZ"):
        return Inflated(raw, lzma.LZMADecompressor, (lzma.LZMAError,))
    return raw


def head_of(stream: Stream) -> Read:
    """The beginning of a stream, by which its shape is told."""
    return read_of(stream, 1 << 16)


def read_of(stream: Stream, size: int) -> Read:
    """Up to `size` bytes or a little more, and the damage of the stream if this is where it ends."""
    data = stream.read(size)
    return Read(data, getattr(stream, "problem", ""))


def head_and_rest(head: Read, stream: Stream, most: int) -> Read:
    """A stream of which the head is read already, to its end or until it has that many bytes."""
    if head.problem:
        return head
    parts, size = [head.data], len(head.data)
    while size < most:
        got = read_of(stream, CHUNK)
        parts.append(got.data)
        size += len(got.data)
        if got.problem or not got.data:
            return Read(b"".join(parts), got.problem)
    return Read(b"".join(parts))


@contextmanager
def spooled(head: bytes, stream: Stream) -> Iterator[Path]:
    """What has to be read in any order, in a file of its own for as long."""
    with tempfile.TemporaryDirectory(prefix="costaudit-") as folder:
        yield copied(Path(folder) / "spooled", head, stream)


def copied(to: Path, head: bytes, stream: Stream) -> Path:
    """A stream of which the head is read already, as a file."""
    with to.open("wb") as out:
        out.write(head)
        while data := stream.read(CHUNK):
            out.write(data)
    return to
