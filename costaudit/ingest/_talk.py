"""Conversations by their JSON: every call sends again what the calls before it sent, so its beginning is known.

The beginnings of a list of messages are remembered by the hash of its first 4, 8, 12, … KiB: what a longer list has in
common with one that was seen is found without being decoded, however many conversations are mixed in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest as digest
from xxhash import xxh3_128, xxh3_128_digest

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._messages import PAIR, Block
from costaudit.ingest._recent import Recent

GRID = 1 << 12  # bytes between two beginnings that are remembered
COMMA = ord(",")
OPENED, QUOTED = b"[", b'"['  # how lists begin
BLOCK = 500  # bytes that a message takes without its opening, about
HELD, BEGUN = 24, 300  # bytes that a list takes for each message again, and a place in it that is remembered


class Told(NamedTuple):
    """Messages in order, the chain of their hashes, their sizes, and those of them that instruct."""

    blocks: list[Block]
    chain: list[int]
    sizes: list[int]
    prompts: tuple[Block, ...]


def told(blocks: Sequence[Block], after: Told | None = None, count: int = 0) -> Told:
    """Messages as a conversation that goes on from the first `count` messages of another, or begins."""
    chain = [] if after is None else after.chain[:count]
    head = chain[-1] if chain else 0
    for block in blocks:
        head = digest(PAIR(head, block.sha))  # `link`, without the call
        chain.append(head)
    sizes = [block.size for block in blocks]
    prompts = tuple([block for block in blocks if block.role == "system"])
    if after is None:
        return Told(list(blocks), chain, sizes, prompts)
    whole = after.blocks[:count]
    before = after.prompts
    if len(whole) < len(after.blocks) and before:
        before = tuple([block for block in whole if block.role == "system"])
    return Told([*whole, *blocks], chain, [*after.sizes[:count], *sizes], before + prompts)


class _Beginning(NamedTuple):
    end: int  # the byte behind the comma behind its last message
    messages: int
    of: Told


class Conversations:
    """Lists of messages, of which each message and each beginning is looked at once."""

    def __init__(self, made: Callable[[bytes], Block], most: int = 8 << 20) -> None:
        """`made`: the message of a JSON; `most`: bytes of messages that are held, about, and half of those of lists."""
        self.made = made
        self.known: Recent[Block] = Recent(most)
        self.begun: Recent[_Beginning] = Recent(2 * most)

    def of(self, data: bytes) -> Told | None:
        """The conversation that a JSON list is; None if it is no list."""
        return self._of(data, OPENED, bytes, len)

    def quoted(self, data: bytes) -> Told | None:
        """The conversation that a JSON text holds as a list: what is known of it is not taken out of its quotes either.

        Raises `UNREADABLE` for a text that is none, UTF-8 included.
        """
        return self._of(data, QUOTED, _unquoted, _wide)

    def _of(
        self, data: bytes, opened: bytes, plain: Callable[[bytes], bytes], wide: Callable[[bytes], int]
    ) -> Told | None:
        """`opened`: how a list begins in the data; `plain`: the list that a list in the data is; `wide`: the bytes that
        a part of it takes there at least."""
        keys = _keys(data, opened)
        place, begun = len(keys), None
        while place and begun is None:
            begun = self.begun.get(keys[place - 1])
            place -= begun is None
        given = data if begun is None else opened + data[begun.end :]
        rest = plain(given)
        try:
            parts = _decode_list(rest)
        except UNREADABLE:
            return None
        if begun is None:
            made = told(self.each(parts))
        elif parts:
            made = told(self.each(parts), begun.of, begun.messages)
        else:  # a list that ends in a comma
            return None
        # If it takes no byte more than it has to, then no part of it does, and where each ends is told by its length.
        if place < len(keys) and len(given) == len(opened) - len(OPENED) + wide(rest) + (opened is QUOTED):
            self._remember(rest, keys[place:], place, parts, made, begun or _Beginning(len(opened), 0, made), wide)
        return made

    def each(self, parts: Sequence[msgspec.Raw]) -> list[Block]:
        """The messages, each as JSON."""
        keys = list(map(xxh3_128_digest, parts))
        found = list(map(self.known.younger.get, keys))
        if None in found:
            return [block or self._made(key, part) for block, key, part in zip(found, keys, parts, strict=True)]
        return found  # type: ignore[return-value]  # as was just asked

    def expect(self, data: bytes, block: Block) -> None:
        """Remember an answer by the JSON that it is echoed as, for the lists that it will stand in.

        `block` is what `made` would make of the JSON.
        """
        self.known.put(xxh3_128_digest(data), block, BLOCK + len(block.opening))

    def _made(self, key: bytes, raw: msgspec.Raw) -> Block:
        if (known := self.known.younger.get(key)) is not None:  # it stands in the list twice
            return known
        block = self.known.older.get(key) or self.made(bytes(raw))
        self.known.put(key, block, BLOCK + len(block.opening))
        return block

    def _remember(
        self,
        rest: bytes,
        keys: Sequence[bytes],
        place: int,
        parts: Iterable[msgspec.Raw],
        made: Told,
        begun: _Beginning,
        wide: Callable[[bytes], int],
    ) -> None:
        """Remember the beginnings whose hashes are given; the first of them has `place` + 1 times `GRID` bytes.

        rest   the list behind the messages of `begun`
        parts  its messages
        """
        end, count = begun.end, begun.messages
        new = sum([BLOCK + len(block.opening) for block in made.blocks[count:]])
        weight = BEGUN + (len(made.blocks) * HELD + new) // len(keys)
        reach, here = (place + 1) * GRID, len(OPENED)
        waiting = iter(keys)
        for raw in parts:
            part = bytes(raw)
            after = here + len(part)
            # With space around its messages a list is not remembered: where one begins would have to be searched for.
            if rest[after] != COMMA or rest[here] != part[0]:
                break
            behind = end + wide(part) + 1
            while behind > reach:
                if (key := next(waiting, None)) is None:
                    return
                if count:
                    self.begun.put(key, _Beginning(end, count, made), weight)
                reach += GRID
            end, count, here = behind, count + 1, after + 1
        if count:
            for key in waiting:
                self.begun.put(key, _Beginning(end, count, made), weight)


def _unquoted(data: bytes) -> bytes:
    return _decode_text(data).encode("utf-8", "replace")


def _wide(part: bytes) -> int:
    """The bytes of JSON in the quotes of a text, with the shortest escapes: of what may stand in JSON as it is, these
    characters take one byte more, and all others what they take without quotes."""
    return len(part) + sum([part.count(one) for one in ESCAPED])


ESCAPED = (b'"', b"\\", b"\n", b"\r", b"\t")
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def _keys(data: bytes, opened: bytes) -> list[bytes]:
    """Hashes of the beginnings of a list."""
    if len(data) < GRID or not data.startswith(opened):
        return []
    view, hashed = memoryview(data), xxh3_128()
    keys = []
    for at in range(0, len(data) - GRID + 1, GRID):
        hashed.update(view[at : at + GRID])
        keys.append(hashed.digest())
    return keys
