"""cache-miss: policies simulated on the log's own times, against a cache kept block by block."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ask, at, calls

from costaudit.analyze import _cache
from costaudit.analyze._cache import ALL, LIVES, SEEN, TURNS, Policy
from costaudit.finding import Confidence


def turns(n, *, gap=60, run="chat", start=0, model="big", **changes):
    """A conversation of n turns: 2,000 tokens of system prompt, 1,000 more with every turn."""
    rows = []
    for nth in range(n):
        blocks = [1, *range(hash_of(run), hash_of(run) + nth + 1)]
        rows.append(
            {
                "task": "chat",
                "model": model,
                "run_id": run,
                "step": nth + 1,
                "started_at": at(start + gap * nth),
                "block_sha": blocks,
                "block_tokens": [2_000] + [1_000] * (nth + 1),
                "input_tokens": 2_000 + 1_000 * (nth + 1),
                "output_tokens": 0,
            }
            | changes
        )
    return rows


def hash_of(text):
    return 10_000 * (1 + sum(text.encode()))


def only(rows, **options):
    (finding,) = ask("cache-miss", rows, **options).findings
    assert sum(finding.evidence["waste_usd"].to_list(), Decimal(0)) == finding.owned_usd
    return finding


def test_a_conversation_that_was_never_cached():
    finding = only(turns(4))
    # Fresh: 3k + 4k + 5k + 6k = 18k at 10 USD a million. From the second turn: 3k fresh; then writes of 4k (all new to
    # the cache), 1k and 1k at 12.5, reads of 4k and 5k at 1; everything from the start: 3k + 1k + 1k + 1k written.
    fresh, everything = Decimal("0.18"), (6_000 * Decimal("12.5") + 12_000 * 1) / 1_000_000
    assert finding.owned_usd == fresh - everything
    row = finding.evidence.row(0, named=True)
    assert (row["cause"], row["policy"]) == ("never cached", "write everything for 5m")
    assert row["achievable_share"] == 12 / 18
    assert finding.remedy == "mark the prefix for caching: write everything for 5m"
    assert finding.lever == ("cache", "5m")
    assert finding.confidence is Confidence.MEDIUM
    assert finding.low_usd < finding.owned_usd == finding.high_usd


def test_writes_that_nobody_reads_in_time():
    rows = [
        row | {"cache_read_tokens": 0} | dict.fromkeys(("cache_write_tokens", "cache_write_5m_tokens"), 3_000)
        for n in range(6)
        for row in turns(1, run=f"r{n}", start=8_000 * n)
    ]
    finding = only(rows)
    assert finding.evidence["cause"].to_list() == ["written, never read"]
    assert finding.lever == ("no-cache", "")
    assert finding.owned_usd == 6 * 3_000 * Decimal("2.5") / 1_000_000
    assert finding.confidence is Confidence.HIGH


def test_a_lifetime_that_is_too_short_for_the_pauses():
    rows = turns(6, gap=1_200)
    for row in rows:
        row |= {"cache_write_tokens": row["input_tokens"], "cache_write_5m_tokens": row["input_tokens"]}
    rows[1] |= {"cache_read_tokens": 2_000, "cache_write_tokens": 2_000, "cache_write_5m_tokens": 2_000}
    finding = only(rows)
    assert finding.evidence["cause"].to_list() == ["wrong lifetime"]
    assert finding.remedy.startswith("change the cache's lifetime: ")
    assert finding.remedy.endswith(" for 1h")
    assert finding.lever == ("cache", "1h")
    # Of 33k, 2k were read at 1 USD a million and the rest written for 5m at 12.5; for an hour, 8k are written at 20 and
    # 25k read.
    logged = sum(r["cache_write_tokens"] for r in rows) * Decimal("12.5") + 2_000
    assert finding.owned_usd == (logged - 8_000 * Decimal(20) - 25_000) / 1_000_000


def test_writes_without_reads_tell_nothing():
    """Somebody logs what is written to the cache, nobody what is read from it: nobody knows what was missed."""
    rows = [row | {"cache_write_tokens": 1_000, "cache_write_5m_tokens": 1_000} for row in turns(6)]
    answer = ask("cache-miss", rows)
    assert answer.findings == ()
    assert "what was read from the cache is not" in answer.not_checked[0].why
    assert ask("cache-miss", [row | {"cache_read_tokens": 0} for row in rows]).findings


def test_prompts_that_are_mostly_not_in_the_log_show_no_clean_cache():
    rows = [row | {"input_tokens": 40_000} for row in turns(1)]
    assert "less than half of the input" in ask("cache-miss", rows).not_checked[0].why


def test_counts_without_blocks_show_writes_that_are_never_read():
    rows = [{"task": "chat", "cache_read_tokens": 0, "cache_write_tokens": 800, "cache_write_5m_tokens": 800}] * 5
    finding = only(rows)
    assert finding.owned_usd == 5 * 800 * Decimal("2.5") / 1_000_000
    assert ask("cache-miss", [*rows, {"task": "chat", "cache_read_tokens": 900}]).findings == ()


@pytest.mark.parametrize("model", ["big", "auto"])
def test_a_clock_at_the_front_of_the_prompt_breaks_every_prefix(model):
    rows = turns(8, model=model, template_sha=77, system_sha=78)
    for nth, row in enumerate(rows):
        row["block_sha"] = [900_000 + 1_000 * nth + k for k in range(len(row["block_sha"]))]
    finding = only(rows)
    row = finding.evidence.row(0, named=True)
    assert row["cause"] == "unstable prefix"
    assert row["tokens_behind"] == sum(r["input_tokens"] for r in rows) // 8
    assert finding.remedy.startswith("move what changes")
    assert finding.lever is None
    if model == "auto":  # automatic: 3k + 7 × 1k fresh, the rest read at a tenth
        fresh = sum(r["input_tokens"] for r in rows)
        assert finding.owned_usd == (fresh - 10_000) * Decimal(9) / 1_000_000


@pytest.mark.parametrize(
    "changes",
    [{"system_sha": None}, {"block_tokens": None}],
    ids=["no instructions: the question itself is masked", "a quoted document: the size changes"],
)
def test_a_masked_question_or_document_is_no_stable_prefix(changes):
    rows = turns(8, template_sha=77, system_sha=78)
    for nth, row in enumerate(rows):
        row["block_sha"] = [900_000 + 1_000 * nth + k for k in range(len(row["block_sha"]))]
        row["system_sha"] = changes.get("system_sha", 78)
        if "block_tokens" in changes:
            row["block_tokens"] = [500 * (nth + 1), *row["block_tokens"][1:]]
            row["input_tokens"] = sum(row["block_tokens"])
    assert ask("cache-miss", rows).findings == ()


@pytest.mark.parametrize(
    "rows",
    [
        turns(8, model="auto"),  # cached by the provider, without being asked
        [row for n in range(8) for row in turns(1, run=f"r{n}", start=90_000 * n)],  # pauses beyond every lifetime
        turns(1),  # a cold start
        [row | {"block_tokens": [300] * len(row["block_sha"]), "input_tokens": 600} for row in turns(1, gap=9)] * 3,
        turns(6, model="nobody-knows"),
    ],
)
def test_healthy_traffic_is_silent(rows):
    assert ask("cache-miss", rows).findings == ()


def test_prefixes_under_the_minimum_are_silent():
    rows = [
        {"block_sha": [1, 2], "block_tokens": [400, 500], "input_tokens": 900, "started_at": at(9 * n)}
        for n in range(9)
    ]
    assert ask("cache-miss", rows).findings == ()


def test_other_keys_do_not_share_a_cache():
    rows = [row | {"key_id": f"k{nth}"} for nth, row in enumerate(turns(6))]
    assert ask("cache-miss", rows).findings == ()


def test_it_says_what_it_lacks():
    assert [n.why for n in ask("cache-miss", [{}]).not_checked] == ["no prompt blocks and no cache counts"]


# ---------------------------------------------------------------- the simulator


def by_hand(requests, write, life, waits):
    """A cache as a dictionary: (read, written) of every request [(time, [(hash, tokens)])].

    waits  s until the answer to each request begins: what it writes can be read from then on
    """
    last, ready, seen, done = {}, {}, set(), []
    for (time, blocks), wait in zip(requests, waits, strict=True):
        later, end, read, kept = sum(h in seen for h, _ in blocks) >= 2, 0, 0, 0
        for h, tokens in blocks:
            end += tokens
            alive = h in last and time - last[h] <= life
            if alive and time >= ready[h]:
                read = kept = end  # the longest prefix counts
            elif write == ALL or (write == SEEN and h in seen) or (write == TURNS and later):
                kept = end
            else:
                continue
            last[h] = time
            if not alive:
                ready[h] = time + wait
        seen |= {h for h, _ in blocks}
        done.append((read, kept - read))
    return done


def frame(requests):
    """Calls with nothing but what the simulator reads."""
    return pl.DataFrame(
        {
            "row": range(len(requests)),
            "scope": "one",
            "started_at": [at(time) for time, _ in requests],
            "ended_at": None,
            "ttft_s": None,
            "block_sha": [[h for h, _ in blocks] for _, blocks in requests],
            "block_tokens": [[tokens for _, tokens in blocks] for _, blocks in requests],
            "unstable": False,
            "template_sha": None,
            "run_id": None,
            "input_tokens": [sum(tokens for _, tokens in blocks) for _, blocks in requests],
            "minimum": 0,
        },
        schema_overrides={
            "row": pl.UInt32,
            "block_sha": pl.List(pl.UInt64),
            "block_tokens": pl.List(pl.Int64),
            "ended_at": pl.Datetime("us", "UTC"),
            "ttft_s": pl.Float64,
            "template_sha": pl.UInt64,
            "run_id": pl.String,
        },
    )


paths = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 3, 100, 300, 301]),
        st.lists(st.integers(0, 2), min_size=1, max_size=5),
        st.sampled_from([0.0, 0.5, 2.0, 30.0]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(paths, st.sampled_from([ALL, SEEN, TURNS]))
def test_the_vectorised_cache_is_the_cache_block_by_block(events, write):
    clock, requests = 0, []
    for pause, path, _ in events:
        clock += pause
        # The hash of a block stands for the whole path to it.
        requests.append((clock, [(int("1" + "".join(map(str, path[: k + 1]))), 10 + k) for k in range(len(path))]))
    waits = [wait for *_, wait in events]
    table = frame(requests).with_columns(ttft_s=pl.Series(waits))
    done = _cache.bounded(_cache.simulate(_cache.occurrences(table), Policy(write, "5m"), 300), table)
    assert done.select("read", "write").rows() == by_hand(requests, write, 300, waits)


said = st.tuples(
    st.sampled_from([0, 1, 3, 100, 300, 301]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from([0.0, 0.5, 2.0, 250.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(said, min_size=6, max_size=30), st.sampled_from([ALL, SEEN, TURNS]))
def test_turns_of_long_conversations_side_by_side_read_what_a_cache_kept_block_by_block_holds(turns_said, write):
    clock, requests, known = 0, [], [[1], [1], [1, 2]]
    for nth, (pause, which, more, _) in enumerate(turns_said):
        clock += pause
        known[which] = [*known[which], *(10 * nth + 10 + k for k in range(more))]
        requests.append((clock, [(h, 10 + h % 7) for h in known[which]]))
    waits = [wait for *_, wait in turns_said]
    table = frame(requests).with_columns(ttft_s=pl.Series(waits))
    found = _cache.occurrences(table)
    done = _cache.bounded(_cache.simulate(found, Policy(write, "5m"), 300), table)
    assert done.select("read", "write").rows() == by_hand(requests, write, 300, waits)


def side_by_side(n, **changes):
    """n questions about one document, sent together every two hours."""
    return [
        turns(1, start=7_200 * hour, run=f"run {hour} {nth}")[0]
        | {"block_sha": [1, hash_of(f"question {hour} {nth}")], "ended_at": at(7_200 * hour + 9)}
        | changes
        for hour in range(4)
        for nth in range(n)
    ]


def test_calls_sent_together_race_for_the_first_write():
    """Each of them finds the cache cold and would pay the write: nothing is won by caching."""
    assert not ask("cache-miss", side_by_side(6)).findings
    one_by_one = [row | {"started_at": at(7_200 * (n // 6) + 20 * (n % 6)), "ended_at": None}
                  for n, row in enumerate(side_by_side(6))]  # fmt: skip
    assert ask("cache-miss", one_by_one).findings


def test_a_prefix_can_be_read_once_the_answer_to_its_writer_has_begun():
    times = [7_200 * (n // 6) + 3 * (n % 6) for n in range(24)]
    rows = [row | {"started_at": at(s), "ended_at": at(s + 60)} for s, row in zip(times, side_by_side(6), strict=True)]
    # A minute an answer, no first token logged: begun after 5 s at most, so the second call of each hour misses too.
    finding = only(rows)
    table = finding.details["policies"].filter(pl.col("policy") == "write everything for 5m").row(0, named=True)
    assert table["read_tokens"] == 4 * 4 * 2_000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 2**63]), st.integers(0, 3)), max_size=40))
def test_equal_keys_stand_together_in_order_of_time_though_others_share_their_leading_bits(parts):
    keys = [high + low for high, low in parts]
    order, new = _cache._in_order(np.array(keys, dtype=np.uint64))
    assert order.tolist() == sorted(range(len(keys)), key=lambda at: (keys[at], at))
    assert new.tolist() == [n == 0 or keys[order[n]] != keys[order[n - 1]] for n in range(len(keys))]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 2, 200, 400]), st.lists(st.integers(0, 3), min_size=1, max_size=6)), min_size=1
    ),
    st.sampled_from([ALL, SEEN, TURNS]),
)
def test_prefixes_that_only_come_together_count_once_and_change_nothing(events, write):
    clock, requests = 0, []
    for pause, hashes in events:
        clock += pause
        requests.append((clock, [(h, 600) for h in hashes]))  # whatever a log calls a hash: no path at all
    table = frame(requests)
    together = _cache.simulate(_cache.occurrences(table), Policy(write, "5m"), 300)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_cache, "_longest", lambda *parts: parts)
        each = _cache.simulate(_cache.occurrences(table), Policy(write, "5m"), 300)
    assert together.equals(each)


@pytest.fixture(scope="module")
def conversations(shared):
    rows = [
        json.loads(line)
        for line in (shared / "datasets/mooncake_conversation/conversation_trace.jsonl").read_text().splitlines()
    ]
    requests = [
        (
            row["timestamp"] / 1_000,
            [(h, min(512, row["input_length"] - 512 * k)) for k, h in enumerate(row["hash_ids"])],
        )
        for row in rows
    ]
    table = frame(requests)
    return _cache.occurrences(table), table


@pytest.mark.parametrize(("life", "share"), [(60, 0.105), (300, 0.293), (600, 0.350), (3_600, 0.374)])
def test_share_of_a_chat_services_input_that_a_cache_would_have_held(conversations, life, share):
    found, table = conversations
    done = _cache.bounded(_cache.simulate(found, Policy(ALL), life), table)
    assert round(done["read"].sum() / table["input_tokens"].sum(), 3) == share


@pytest.mark.parametrize(
    ("write", "life", "premium", "relative"),
    [
        (ALL, "5m", 1.25, 0.913),
        (ALL, "1h", 2.0, 1.290),  # a loss
        (SEEN, "5m", 1.25, 0.884),
        (SEEN, "1h", 2.0, 0.960),
        (TURNS, "5m", 1.25, 0.896),
        (TURNS, "1h", 2.0, 1.036),
    ],
)
def test_bill_of_a_chat_service_under_each_policy(conversations, write, life, premium, relative):
    found, table = conversations
    done = _cache.bounded(_cache.simulate(found, Policy(write, life), LIVES[life]), table)
    total, read, written = table["input_tokens"].sum(), done["read"].sum(), done["write"].sum()
    assert round((total - read - written + 0.1 * read + premium * written) / total, 3) == relative


def test_the_rule_names_the_best_policy_of_the_chat_service(conversations):
    _, table = conversations
    extra = {"model": "big", "task": "chat", "provider": "acme", "output_tokens": 0}
    named = table.drop("row", "scope", "unstable", "minimum", "template_sha")
    rows = [row | extra for row in named.to_dicts()]
    finding = only(calls(rows))
    assert finding.evidence["policy"].to_list() == ["write what was sent before for 5m"]
    table = finding.details["policies"]
    relative = table.filter(pl.col("policy") == "write what was sent before for 5m")["relative"].item()
    assert round(relative, 3) == 0.918  # 0.884 without the 1,000 tokens from which the book's provider caches
