"""Logs against a provider's export: each planted gap gets its own cause, and the causes add up to the gap."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import at, book, calls
from program import run as run

from costaudit.compare.reconcile import compare
from costaudit.data import bundled
from costaudit.errors import LogError
from costaudit.ingest import ingest
from costaudit.ingest._aggregate import read
from costaudit.ingest._files import LogFile
from costaudit.price.book import PriceBook
from costaudit.reconciliation import BUCKET, Cause

DAY = datetime(2026, 10, 5, tzinfo=UTC)
FULL = {"start": DAY, "end": DAY + timedelta(days=1), "provider": "acme", "model": "big", "kind": "usage"}
# Ten calls of 1,000 in and 100 out on `big`: 10 × (1,000 × $10 + 100 × $50) a million = $0.15.
SAME = FULL | {"calls": 10, "input_tokens": 10_000, "output_tokens": 1_000}
LOG = [{"started_at": at(n)} for n in range(10)]


def reconciled(log, *buckets):
    frame = pl.DataFrame(list(buckets), schema=BUCKET, orient="row")
    return compare(calls(log), frame, book())


def causes(log, *buckets):
    cells = reconciled(log, *buckets).frame()
    return {c.value: str(usd.normalize()) for c in Cause if (usd := cells[c.value].sum())}


@pytest.mark.parametrize(
    ("log", "bucket", "says"),
    [
        (LOG, SAME, {}),
        # Half the calls again, of the same kind: half of $0.15.
        (LOG, SAME | {"calls": 15, "input_tokens": 15_000, "output_tokens": 1_500}, {"missing logs": "0.075"}),
        (LOG, SAME | {"calls": 5, "input_tokens": 5_000, "output_tokens": 500}, {"not in the export": "-0.075"}),
        # As many calls with 5,000 more tokens of input at $10 a million.
        (LOG, SAME | {"input_tokens": 15_000}, {"token counts": "0.05"}),
        # 5,000 of the input read from a cache at $1 instead of $10.
        (LOG, SAME | {"cache_read_tokens": 5_000}, {"cache": "-0.045"}),
        # Everything as a batch: half price.
        (LOG, SAME | {"service_tier": "batch"}, {"tier and batch": "-0.075"}),
        (LOG, SAME | {"model": "small"}, {"missing logs": "0.015", "not in the export": "-0.15"}),
        ([], SAME, {"missing logs": "0.15"}),
        (LOG, SAME | {"calls": None, "input_tokens": 20_000, "output_tokens": 2_000}, {"missing logs": "0.15"}),
    ],
)
def test_each_gap_has_its_cause(log, bucket, says):
    assert causes(log, bucket) == says


def test_a_bill_below_the_list_price_everywhere_is_a_discount():
    days = [FULL | {"start": DAY + timedelta(days=n), "end": DAY + timedelta(days=n + 1)} for n in range(4)]
    log = [{"started_at": at(86_400 * n + m)} for n in range(4) for m in range(10)]
    usage = [day | {"calls": 10, "input_tokens": 10_000, "output_tokens": 1_000} for day in days]
    bill = [day | {"kind": "cost", "usd": Decimal("0.132")} for day in days]  # 0.88 × $0.15
    assert causes(log, *usage, *bill) == {"discount": "-0.072"}
    assert causes(log, *bill) == {"discount": "-0.072"}
    assert causes(log, *usage, *bill[:3], bill[3] | {"usd": Decimal("0.10")}) == {"unexplained": "-0.104"}


def test_fees_of_a_bill_are_told_apart_from_tokens():
    tokens = FULL | {"kind": "cost", "usd": Decimal("0.15"), "item": "big, input"}
    search = FULL | {"kind": "cost", "usd": Decimal("0.02"), "item": "web search tool calls"}
    assert causes(LOG, tokens, search) == {"tools and fees": "0.02"}


def test_time_and_providers_outside_an_export_are_counted_and_not_compared():
    log = [*LOG, {"started_at": at(90_000)}, {"started_at": None}, {"provider": "nobody", "model": "no-such"}]
    done = reconciled(log, SAME)
    assert [c for c in done.cells if c.causes] == []
    assert done.outside == 2  # the unpriced call is in neither sum, and counted elsewhere


def test_hours_are_compared_hour_by_hour():
    hours = [SAME | {"start": DAY + timedelta(hours=h), "end": DAY + timedelta(hours=h + 1)} for h in (9, 10)]
    frame = reconciled(LOG, *hours).frame()
    assert frame["missing logs"].to_list() == [Decimal(0), Decimal("0.15")]


def test_usage_without_a_model_is_no_figure_and_says_so():
    done = reconciled(LOG, SAME | {"model": None})
    assert done.unpriced_buckets == 1
    assert "group the export by model" in done.notes[0]


counts = st.sampled_from([0, 1, 7, 1_000, 12_345])
bucket = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["big", "small", "auto"]),
        "service_tier": st.sampled_from([None, "batch"]),
        "calls": st.sampled_from([None, 1, 3]),
        "input_tokens": counts.map(lambda n: n + 12_345),
        "cache_read_tokens": counts,
        "output_tokens": counts,
    }
)
log_call = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["big", "small", "gift"]),
        "input_tokens": counts,
        "output_tokens": counts,
        "cache_read_tokens": st.sampled_from([0, 500]),
        "service_tier": st.sampled_from([None, "batch"]),
        "started_at": st.integers(0, 5).map(lambda n: at(3_600 * n)),
    }
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(log_call, max_size=6), st.lists(bucket, min_size=1, max_size=4))
def test_the_causes_of_any_two_sides_add_up_to_the_gap(log, buckets):
    hours = [
        FULL | b | {"start": DAY + timedelta(hours=9 + n), "end": DAY + timedelta(hours=10 + n)}
        for n, b in enumerate(buckets)
    ]
    for row in reconciled(log, *hours).frame().iter_rows(named=True):
        assert sum(row[c.value] for c in Cause) == row["export_usd"] - row["logs_usd"]


# The shapes of exports.

OPENAI = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1_790_640_000,
            "end_time": 1_790_726_400,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 1_000,
                    "input_cached_tokens": 400,
                    "input_cache_write_tokens": 100,
                    "input_uncached_tokens": 500,
                    "output_tokens": 500,
                    "input_audio_tokens": 50,
                    "input_cached_audio_tokens": 20,
                    "num_model_requests": 5,
                    "model": "gpt-4o-mini-2024-07-18",
                    "batch": True,
                    "service_tier": "default",
                },
                {
                    "object": "organization.usage.web_searches.result",
                    "num_requests": 2,
                    "model": "gpt-4o-mini-2024-07-18",
                },
            ],
        },
        {"object": "bucket", "start_time": 1_790_726_400, "end_time": 1_790_812_800, "results": []},
    ],
    "has_more": False,
}
USAGE_CSV = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,service_tier,input_tokens,"
    "output_tokens,input_cached_tokens\n"
    "1790640000,1790726400,2026-09-29,2026-09-30,p1,10.0,gpt-4o-2024-08-06,FALSE,default,59200.0,10646.0,5760.0\n"
    "1790726400,1790812800,2026-09-30,2026-10-01,,,,,,,,\n"
)
ANTHROPIC = {
    "data": [
        {
            "starting_at": "2026-10-05T00:00:00Z",
            "ending_at": "2026-10-06T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1_000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
                    "cache_read_input_tokens": 400,
                    "output_tokens": 50,
                    "server_tool_use": {"web_search_requests": 3},
                    "model": "claude-sonnet-4-6",
                    "service_tier": "standard",
                    "context_window": "200k-1M",
                    "inference_geo": "us",
                }
            ],
        }
    ]
}
CENTS = {
    "data": [
        {
            "starting_at": "2026-10-05T00:00:00Z",
            "ending_at": "2026-10-06T00:00:00Z",
            "results": [{"currency": "USD", "amount": "123.45", "cost_type": "tokens", "model": "claude-sonnet-4-6"}],
        }
    ]
}
COSTS = {
    "object": "page",
    "data": [
        {
            "start_time": 1_790_640_000,
            "results": [
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": "gpt-4o-2024-08-06, input",
                }
            ],
        }
    ],
}
FOCUS_CSV = (
    "BilledCost,EffectiveCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ServiceName,"
    "ServiceSubcategory,ServiceProviderName,SkuMeter,SkuPriceDetails\n"
    "2.5,2.0,USD,Usage,2026-10-05T00:00:00Z,2026-10-06T00:00:00Z,OpenAI API,Generative AI,OpenAI,Input Tokens,"
    '"{""x_ModelId"": ""gpt-4o""}"\n'
    "9,9,USD,Usage,2026-10-05T00:00:00Z,2026-10-06T00:00:00Z,Object Storage,,Cloud,GB,\n"
)


def export(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return LogFile(path, name)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (
            OPENAI,
            [
                {"calls": 5, "input_tokens": 1_000, "cache_read_tokens": 400, "service_tier": "batch"},
                {"item": "web_searches"},
            ],
        ),
        (
            USAGE_CSV,
            [{"calls": 10, "input_tokens": 59_200, "cache_read_tokens": 5_760, "service_tier": None, "scope": "p1"}],
        ),
        (
            ANTHROPIC,
            [
                {
                    "input_tokens": 1_900,
                    "cache_write_tokens": 500,
                    "cache_write_1h_tokens": 300,
                    "long": True,
                    "region": "us",
                }
            ],
        ),
        (CENTS, [{"usd": Decimal("1.2345"), "model": "claude-sonnet-4-6"}]),
        (COSTS, [{"usd": Decimal("0.06"), "model": "gpt-4o-2024-08-06", "end": datetime(2026, 9, 30, tzinfo=UTC)}]),
        (FOCUS_CSV, [{"usd": Decimal(2), "model": "gpt-4o", "provider": "openai"}]),
        ("date,model,amount\n2026-10-05,gpt-4o,$1.50\n", [{"usd": Decimal("1.5"), "kind": "cost"}]),
    ],
)
def test_every_shape_of_export_is_read(tmp_path, content, rows):
    buckets, bad = read(export(tmp_path, "export.csv" if isinstance(content, str) else "export.json", content))
    assert bad == []
    found = [{name: row[name] for name in want} for row, want in zip(buckets.iter_rows(named=True), rows, strict=True)]
    assert found == rows


def test_a_bucket_exported_twice_counts_once_and_the_last_one_holds(tmp_path):
    later = json.loads(json.dumps(OPENAI))
    later["data"][0]["results"][0]["num_model_requests"] = 6
    path = tmp_path / "two.jsonl"
    path.write_text(json.dumps(OPENAI) + "\n" + json.dumps(later) + "\n")
    buckets, _ = read(LogFile(path, "two.jsonl"))
    assert buckets["calls"].to_list() == [6, None]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("date,model,amount,currency\n2026-10-05,m,1,EUR\n", "an amount in EUR"),
        ("date,model,amount\n2026-10-05,m,much\n", "not a number"),
        ("date,model,amount\nsoon,m,1\n", "not a time"),
        ({"data": [{"starting_at": "x", "results": [{"uncached_input_tokens": -1}]}]}, "not a"),
    ],
)
def test_what_cannot_be_read_of_an_export_is_named(tmp_path, content, says):
    buckets, bad = read(export(tmp_path, "export.csv" if isinstance(content, str) else "export.json", content))
    assert buckets.is_empty()
    assert says in bad[0]


def test_a_log_is_no_export_and_an_export_is_no_log(tmp_path):
    log = export(
        tmp_path,
        "log.jsonl",
        {"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 1}},
    )
    with pytest.raises(LogError, match="no usage or cost export"):
        read(log)
    (tmp_path / "usage.json").write_text(json.dumps(OPENAI))
    found = ingest([tmp_path])
    assert found.fates.balanced
    assert found.fates.skipped == {"aggregate export": 1}
    assert any("costaudit reconcile" in note for note in found.notes)


def chat(number, created):
    return json.dumps(
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": created,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
        }
    )


def test_the_command_says_who_lacks_what_and_gates_on_it(run, tmp_path):
    (tmp_path / "log.jsonl").write_text("\n".join(chat(n, 1_790_640_060 + n) for n in range(8)))
    page = json.loads(json.dumps(OPENAI))
    result = {"num_model_requests": 10, "input_tokens": 10_000, "input_cached_tokens": 0, "output_tokens": 1_000}
    page["data"][0]["results"] = [
        {"object": "organization.usage.completions.result", "model": "gpt-4o-2024-08-06", "batch": False} | result
    ]
    (tmp_path / "usage.json").write_text(json.dumps(page))
    # 1,000 × $2.50 + 100 × $10 a million = $0.0035 a call.
    ran = run("reconcile", "log.jsonl", "--against", "usage.json")
    assert ran.code == 0
    assert (
        "The export is worth $0.035, the logs $0.028: $0.0070 (20.0 %) is not in the logs, mostly missing logs"
        in " ".join(ran.out.split())
    )
    assert run("reconcile", "log.jsonl", "--against", "usage.json", "--max-gap", "0.1").code == 1
    assert run("reconcile", "log.jsonl", "--against", "usage.json", "--max-gap", "0.3").code == 0
    document = json.loads(run("reconcile", "log.jsonl", "--against", "usage.json", "--format", "json").out)
    assert document["causes"] == [{"cause": "missing logs", "usd": "0.007"}]
    assert run("reconcile", "log.jsonl", "--against", "log.jsonl").code == 3
    assert run("reconcile", "log.jsonl", "--against", "gone.json").code == 2
    assert "1,000" not in run("reconcile", "log.jsonl", "--against", "usage.json", "--format", "csv").err


def test_a_real_bill_is_the_real_usage_at_our_prices_to_the_last_digit(shared):
    folder = shared / "formats" / "openai-api"
    parts = [read(LogFile(folder / f"dashboard-{k}-export-redacted.csv", k))[0] for k in ("usage", "cost")]
    book = PriceBook.load(bundled("pricing"))
    usage, cost = (compare(calls([]), part, book).frame() for part in parts)
    assert usage["export_usd"].sum() == cost["export_usd"].sum() == Decimal("1.465662")
    both = compare(calls([]), pl.concat(parts), book).frame()
    # One day of this bill stands a day early; over the window nothing is left unexplained.
    assert both["export_usd"].sum() == both[Cause.MISSING.value].sum() == Decimal("1.465662")
