"""What a provider lets through a minute: a YAML file of the user's, model (or glob) -> limits."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import msgspec

from costaudit.config._node import parse
from costaudit.config._read import flag, mapping, record, whole
from costaudit.errors import ConfigError

KINDS = ("requests_per_minute", "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
HINT = "e.g. `gpt-5*: {requests_per_minute: 500, tokens_per_minute: 200000}`"


class Limit(msgspec.Struct, frozen=True):
    """Limits of the models that match a glob over `model` or `provider/model`; None: not limited.

    cached_input   whether input that is read from a cache counts; None: as the provider of a call counts
    """

    match: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    cached_input: bool | None = None

    def holds(self, provider: str, model: str) -> bool:
        """Whether the limit is that of a model, whatever its case."""
        pattern = self.match.lower()
        return any(fnmatch.fnmatchcase(name.lower(), pattern) for name in (model, f"{provider}/{model}"))


def limits(path: Path) -> tuple[Limit, ...]:
    """Read the file, in its order; ConfigError with file and line for anything that is no limit."""
    node = parse(path)
    if node is None:
        raise ConfigError(f"{path}: no limits", hint=HINT)
    shape = {**dict.fromkeys(KINDS, whole(1)), "cached_input": flag}
    found = tuple(Limit(match, **record(entry, shape)) for match, entry in mapping(node).items())
    if not found or any(all(getattr(limit, kind) is None for kind in KINDS) for limit in found):
        raise ConfigError(f"{path}: a model without a limit", hint=HINT)
    return found
