"""The model name in a log -> the entry in the book, in the documented order, saying which step found it.

User mapping > exact > documented alias > strip provider prefix > strip date > stop. Nothing is ever matched by a part
of a name: `claude-opus-6` is unknown, not a Claude. An ambiguous spelling is unknown too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from costaudit.price.book import PriceBook
from costaudit.price.entry import Model, Provider

MAKERS = ("openai", "anthropic", "google", "mistral", "x-ai", "deepseek", "cohere", "perplexity", "moonshotai", "zai")
"""Where a model named without a provider is looked up: vendors whose model names are theirs alone."""

OWN = frozenset(
    {"ollama", "lmstudio", "lm-studio", "vllm", "hosted-vllm", "sglang", "tgi", "llamafile", "llama-cpp",
     "llamacpp", "localai", "mlx", "lemonade"}
)  # fmt: skip
"""Servers that people run themselves: what a call costs there, no vendor's list says, whatever the model is called."""

_PATH_WORDS = frozenset({"models", "publishers", "converse", "invoke", "converse_like", "mantle", "deployments"})
_GEOGRAPHIES = ("us.", "eu.", "apac.", "jp.", "au.", "ca.", "sa.", "me.")  # AWS: no extra charge inside a geography
_AWS_REGION = re.compile(r"[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d")
_DATE = re.compile(r"[-@](20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])$")
_STABLE = re.compile(r"(?<=-pro|lash|lite|h-8b)-00\d$")
_MOVING = re.compile(r"(?:-latest|@latest|@default|-preview(?:-\d\d-\d\d)?)$")
_BEDROCK_VERSION = re.compile(r"(?:-v\d+(?::\d+)?(?::\d+k)?|:\d+)$")
_AT_AWS = re.compile(r"arn:aws[\w-]*:bedrock:|(?:[a-z]{2,6}(?:-gov)?\.)?[a-z0-9]+\.[a-z]")  # `us.anthropic.claude-…`
_ARN = re.compile(r"arn:aws[\w-]*:bedrock:([a-z0-9-]*):\d*:([a-z-]+)/(.+)$")
_VERTEX_PATH = re.compile(r"(?:projects/[^/]+/)?(?:locations/([^/]+)/)?publishers/([^/]+)/models/(.+)$")
_FINE_TUNED = re.compile(r"(?:ft:(?P<base>[^:]+)(?::.*)?|(?P<azure>.+?)\.ft-[0-9a-z-]+(?::.*)?)$")
_ROUTED = re.compile(r":(free|batch|thinking)$")


class Match(msgspec.Struct, frozen=True):
    """What a name stands for.

    name    entry of the book; model None: unknown
    lister  provider whose list has the entry: another one for a subscription, which has no list of its own
    tier    a tier the name itself asks for (`:batch`)
    region  a place the name itself tells (ARN, path)
    steps   how it was found, in order, for people
    """

    provider: str
    name: str
    model: Model | None = None
    lister: str = ""
    tier: str | None = None
    region: str | None = None
    free: bool = False
    steps: tuple[str, ...] = ()

    @property
    def entry(self) -> str:
        return f"{self.provider}:{self.name}"


def match(book: PriceBook, provider: str | None, model: str, region: str | None = None) -> Match:
    """Resolve a provider and a model as a log writes them; `region` decides where entries are sold by place."""
    spelled = model.strip()
    name = spelled.lower()
    where = book.canonical(provider) if provider else ""
    if not where or book.provider(where) is None:
        return _without_provider(book, where, name, region)
    return _within(book, where, name, region)


def _without_provider(book: PriceBook, where: str, name: str, region: str | None) -> Match:
    """The provider is unknown: the name's own prefix decides, else the maker whose name it is."""
    if re.sub(r"[\s_.]+", "-", where) in OWN:
        return Match(where, name, steps=(f"{where} is a server of one's own: its price is the user's to say",))
    prefix, _, rest = name.partition("/")
    named = book.canonical(prefix)
    if rest and book.provider(named) is not None:
        found = _within(book, named, name, region)
        return replace(found, steps=(f"the name says it was served by {named}", *found.steps))
    if not where:
        if _AT_AWS.match(name) and (found := _within(book, "bedrock", name, region)).model is not None:
            return replace(found, steps=("no provider in the log: Bedrock's way of naming", *found.steps))
        for maker in MAKERS:
            found = _within(book, maker, name, region)
            if found.model is not None:
                return replace(found, steps=(f"no provider in the log: {maker}'s own price", *found.steps))
    why = f"the book has no provider {where!r}" if where else "neither provider nor maker is known"
    return Match(where, name, steps=(why,))


def _within(book: PriceBook, where: str, name: str, region: str | None) -> Match:
    file = book.provider(where)
    if file is None:
        return Match(where, name, steps=(f"the book has no provider {where!r}",))
    if file.list_of:
        found = _within(book, file.list_of, name, region)
        return replace(found, provider=where, steps=(f"a subscription: listed at {file.list_of}", *found.steps))
    shop = _shop(book, file)
    found = Match(where, name, region=region)
    if where == "openrouter" and name.endswith(":free") and (hit := shop.look(name)) is None:
        return replace(found, free=True, steps=("`:free` at OpenRouter costs nothing",))
    for form, steps, place, tier in _forms(book, where, name):
        place = place or region
        for candidate in (*_placed(where, form, place), form):
            if (hit := shop.look(candidate)) is not None:
                entry, how = hit
                steps = (*steps, f"{how}: {where}:{entry}")
                return Match(where, entry, file.models[entry], where, tier, place, steps=steps)
    why = "no exact name, alias, prefix or date leads to an entry"
    if _FINE_TUNED.match(name.rpartition("/")[2]) is not None:
        why = f"fine-tuned: {where} lists no price for it, and its base's is another one: it is the user's to say"
    return replace(found, steps=(why,))


def _forms(book: PriceBook, where: str, name: str) -> Iterator[tuple[str, tuple[str, ...], str | None, str | None]]:
    """The name, then what is left of it after each permitted step: (form, steps taken, place, tier)."""
    steps: tuple[str, ...] = ()
    place = tier = None
    if (tuned := _FINE_TUNED.match(name.rpartition("/")[2])) is not None:
        base = "ft:" + (tuned["base"] or tuned["azure"])
        yield base, (f"fine-tuned: {base}",), None, None
        for form, step in undated(base, where):
            yield form, (f"fine-tuned: {base}", step), None, None
        return  # a fine-tuned model is never priced as its base
    yield name, steps, place, tier
    if (routed := _ROUTED.search(name)) is not None and routed[1] != "free":
        name, tier = name[: routed.start()], "batch" if routed[1] == "batch" else None
        steps = (f"suffix {routed[0]!r}: {'batch tier' if tier else 'same price'}",)
        yield name, steps, place, tier
    for form, step, found in _unprefixed(book, where, name):
        name, steps, place = form, (*steps, step), found or place
        yield name, steps, place, tier
    for form, step in undated(name, where):
        yield form, (*steps, step), place, tier
    if where == "bedrock" and name.startswith("claude-"):
        # An answer names the model as its maker does, and not the profile it was asked through: the global one is
        # sold at the list price, others at most a tenth above it.
        for profile in ("global.anthropic.", "anthropic."):
            yield profile + name, (*steps, f"a maker's name says no profile: {profile}*"), place, tier
    geography = next((g for g in _GEOGRAPHIES if where == "bedrock" and name.startswith(g)), None)
    if geography is not None:
        name = name.removeprefix(geography)
        steps = (*steps, f"profile {geography!r} costs what the model costs")
        yield name, steps, place, tier
        for form, step in undated(name, where):
            yield form, (*steps, step), place, tier


def _unprefixed(book: PriceBook, where: str, name: str) -> Iterator[tuple[str, str, str | None]]:
    """The name after taking off each prefix that says no more than who serves it: (form, step, place)."""
    if (arn := _ARN.match(name)) is not None:
        if arn[2] not in {"foundation-model", "inference-profile"}:
            return  # an application profile or provisioned model is opaque: the user must say what it is
        name = arn[3]
        yield name, f"{arn[2]} ARN", arn[1] or None
    if (path := _VERTEX_PATH.match(name)) is not None:
        yield f"{path[2]}/{path[3]}", "publisher path", path[1]
        name = path[3]
        yield name, "publisher path", path[1]
    while "/" in name:
        head, _, rest = name.partition("/")
        if where == "bedrock" and _AWS_REGION.fullmatch(head):
            yield rest, f"AWS region {head}", head
        elif head in _PATH_WORDS or head in book.names or book.canonical(head) in book.names:
            yield rest, f"prefix {head + '/'!r} stripped", None
        else:
            return
        name = rest


def undated(name: str, where: str) -> Iterator[tuple[str, str]]:
    """The name without a well-formed date or a moving suffix, at Bedrock without its version: (form, step).

    Google numbers the stable releases of a Gemini model instead of dating them: `-001`.
    """
    for pattern, what in ((_BEDROCK_VERSION, "version"), (_DATE, "date"), (_STABLE, "release"), (_MOVING, "suffix")):
        if pattern is _BEDROCK_VERSION and where != "bedrock":
            continue  # elsewhere a version is another model
        if (found := pattern.search(name)) is not None:
            name = name[: found.start()]
            yield name, f"{what} {found[0]!r} stripped"


def exact(book: PriceBook, file: Provider, name: str) -> tuple[str, Model] | None:
    """The entry of a name as it stands: listed, a documented alias, or either with dots as hyphens."""
    hit = _shop(book, file).look(name.lower())
    return (hit[0], file.models[hit[0]]) if hit else None


def _placed(where: str, form: str, place: str | None) -> Iterator[str]:
    """Names under which a provider that sells by place lists the model there."""
    if place is None:
        return
    if where == "azure":
        yield f"{place.lower()}/{form}"
    if where == "bedrock":
        yield f"{place}/{form}"
        if "-gov-" in place and not form.startswith("us-gov."):
            yield f"us-gov.{form}"


class _Shop(msgspec.Struct, frozen=True):
    """A provider's names, for exact look-up: as listed, documented aliases, and the same with dots as hyphens."""

    exact: dict[str, str]
    aliases: dict[str, str]
    spelled: dict[str, str]

    def look(self, name: str) -> tuple[str, str] | None:
        if (entry := self.exact.get(name)) is not None:
            return entry, "exact"
        if (entry := self.aliases.get(name)) is not None:
            return entry, "alias"
        if (entry := self.spelled.get(_fold(name))) is not None:
            return entry, "alias (spelling)"
        return None


def _shop(book: PriceBook, file: Provider) -> _Shop:
    key = ("names", file.provider)
    if key not in book.memo:
        exact = {name.lower(): name for name in file.models}
        book.memo[key] = _Shop(exact, _unambiguous(_aliases(file)), _unambiguous(_spellings(file)))
    shop: _Shop = book.memo[key]
    return shop


def _aliases(file: Provider) -> list[tuple[str, str]]:
    return [(alias.lower(), name) for name, model in file.models.items() for alias in model.aliases]


def _spellings(file: Provider) -> list[tuple[str, str]]:
    """Every name and alias with dots and underscores as hyphens, at Bedrock without its version too -> entry."""
    both = [*((name.lower(), name) for name in file.models), *_aliases(file)]
    folded = [(_fold(spelling), name) for spelling, name in both]
    if file.provider == "bedrock":
        folded += [(_fold(_BEDROCK_VERSION.sub("", spelling)), name) for spelling, name in both]
    return folded


def _owners(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for spelling, name in pairs:
        found.setdefault(spelling, set()).add(name)
    return {spelling: sorted(names) for spelling, names in found.items()}


def _unambiguous(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Spelling -> entry, without the spellings that stand for several entries."""
    return {spelling: names[0] for spelling, names in _owners(pairs).items() if len(names) == 1}


def ambiguous(file: Provider) -> dict[str, list[str]]:
    """Documented aliases that stand for several entries, and so for none."""
    return {spelling: names for spelling, names in sorted(_owners(_aliases(file)).items()) if len(names) > 1}


def _fold(name: str) -> str:
    return name.replace(".", "-").replace("_", "-")
