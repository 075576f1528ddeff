"""Where two prompts part: by their hashes, and by their characters."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where a call stands in the logs."""

    source_file: str
    source_line: int
    request_id: str | None


class Parting(NamedTuple):
    """Two neighbouring calls whose prompts begin alike and part.

    block   the first block that differs, from 1; `blocks` of the later call
    tokens_behind   tokens of the later call from that block on: what a cache cannot hold
    calls, of       neighbours that part at this block, of all that were compared
    """

    block: int
    blocks: int
    tokens_behind: int | None
    calls: int
    of: int
    before: Place
    after: Place


class Difference(NamedTuple):
    """The first characters that differ: the place in the record, the character in it from 1, both texts around it,
    and the character they start after."""

    place: str
    character: int
    before: str
    after: str
    starts: int = 0
