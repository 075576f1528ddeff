"""Priced requests per second, side by side in one run: this engine, genai-prices, litellm. No thresholds.

    python bench/pricing.py [--rows 2000000] [--theirs 20000]

The same made-up calls for all three (fixed seed): six models of three providers, cached input, a tier here and there.
The packages price one call at a time, so they get fewer of them; rates are per second, on one core and on all.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

MODELS = (
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-sonnet-4-6"),
    ("openai", "gpt-6-sol"),
    ("openai", "gpt-5-mini"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-3.8-flash"),
)
START = datetime(2026, 9, 1, tzinfo=UTC)
REPEATS = 5


def main() -> None:
    arguments = _arguments()
    sys.path.insert(0, str(Path(__file__).parent.parent))
    if arguments.alone:
        print(ours(arguments.rows))
        return
    fast = ours(arguments.rows)
    rows = [("costaudit, all cores", fast), ("costaudit, one core", _one_core(arguments.rows))]
    rows += [(name, theirs(arguments.theirs)) for name, theirs in (("genai-prices", genai), ("litellm", litellm))]
    best = max(rate for _, rate in rows[2:])
    for name, rate in rows:
        print(f"{name:<22}{rate:>14,.0f} rows/s{rate / best:>10,.1f}x")
    print(
        f"{'load one provider':<22}{loading() * 1e3:>14,.1f} ms cached{loading(cached=False) * 1e3:>10,.1f} ms parsed"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--theirs", type=int, default=20_000)
    parser.add_argument("--alone", action="store_true", help="print our own rate and nothing else")
    return parser.parse_args()


def _one_core(rows: int) -> float:
    command = [sys.executable, __file__, "--alone", "--rows", str(rows)]
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def calls(rows: int) -> list[tuple[str, str, datetime, int, int, int]]:
    """(provider, model, time, input with cached, cached, output)."""
    dice = random.Random(7)
    made = []
    for _ in range(rows):
        provider, model = dice.choice(MODELS)
        cached = dice.randrange(0, 60_000)
        fresh = dice.randrange(100, 20_000)
        when = START + timedelta(seconds=dice.randrange(0, 60 * 86_400))
        made.append((provider, model, when, fresh + cached, cached, dice.randrange(10, 4_000)))
    return made


def ours(rows: int) -> float:
    import polars as pl

    from costaudit import schema
    from costaudit.data import bundled
    from costaudit.price.book import PriceBook
    from costaudit.price.engine import price

    some = calls(min(rows, 100_000))
    names = ("provider", "model", "started_at", "input_tokens", "cache_read_tokens", "output_tokens")
    block = pl.DataFrame(some, schema={name: schema.REQUESTS[name] for name in names}, orient="row")
    frame = pl.concat([block] * max(1, rows // block.height)).rechunk()
    book = PriceBook.load(bundled("pricing"))
    price(frame[:1_000], book)
    return frame.height / best(lambda: price(frame, book))


def genai(rows: int) -> float:
    from genai_prices import Usage, calc_price

    some = calls(rows)

    def run() -> None:
        for provider, model, when, prompt, cached, output in some:
            usage = Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=output)
            calc_price(usage, model, provider_id=provider, genai_request_timestamp=when)

    return rows / best(run)


def litellm(rows: int) -> float:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm as package

    names = {"google": "gemini"}
    some = [(names.get(provider, provider), *rest) for provider, *rest in calls(rows)]

    def run() -> None:
        for provider, model, _, prompt, cached, output in some:
            package.cost_per_token(
                model=model,
                custom_llm_provider=provider,
                prompt_tokens=prompt,
                completion_tokens=output,
                cache_read_input_tokens=cached,
            )

    return rows / best(run)


def loading(*, cached: bool = True) -> float:
    """Seconds to open the book and have one large provider ready."""
    from costaudit.data import bundled
    from costaudit.price.book import PriceBook

    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) if cached else None
        PriceBook.load(bundled("pricing"), providers=["openai"], cache=kept)
        return best(lambda: PriceBook.load(bundled("pricing"), providers=["openai"], cache=kept))


def best(run: Callable[[], object]) -> float:
    """Shortest of a few runs [s]: the others measured the machine."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
