"""Writes `sample_logs/demo`: two months of a small help-desk company, as its loggers would have left them.

    python sample_logs/build.py [FOLDER]

Everything is invented; record structure is that of the real formats. A fixed seed makes the same bytes every time
(compressed files: the same content). Five costs are hidden in it, one for each reason the program exists:

1. one expensive model for every task: `triage` answers one word with a large model; a shadow test shows a small one
   doing as well
2. agent loops without a ceiling: some `research` runs repeat a tool call that keeps giving the same result
3. no cheapest model that reliably works: `answer` runs on one model for every tenant, nobody knows whether it must
4. nobody watching: since 12 October the prompt of `answer` is twice as long
5. no plan for many tenants: one tenant carries half of the bill, and grows

Besides: records delivered twice, broken lines, a stream that was cut, a model nobody has a price for, a developer's
coding-agent transcripts.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SEED = 20260901
FIRST, LAST = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)
DEPLOYED = datetime(2026, 10, 12, tzinfo=UTC)  # the day the prompt of `answer` doubled
TENANTS = [
    ("northwind", 40), ("tailspin", 9), ("contoso", 8), ("fabrikam", 7), ("adatum", 6), ("proseware", 5),
    ("litware", 5), ("wingtip", 4), ("margie", 4), ("coho", 3), ("lucerne", 3), ("trey", 2),
]  # fmt: skip

Record = dict[str, Any]


def days() -> Iterator[datetime]:
    day = FIRST
    while day <= LAST:
        yield day
        day += timedelta(days=1)


class Company:
    """All calls of two months, in the order in which they happened, by the log they went to."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.number = 0
        self.logs: dict[str, list[Record]] = {"triage": [], "research": [], "gateway": [], "developer": []}

    def id(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number:06d}{self.random.getrandbits(48):012x}"

    def size(self, median: int, spread: float = 0.35) -> int:
        """A token count, log-normal around its median."""
        return max(1, round(median * 2.718281828 ** self.random.gauss(0, spread)))

    def moments(self, day: datetime, count: int) -> list[datetime]:
        """Office hours, with less on weekends."""
        count = round(count * (0.3 if day.weekday() >= 5 else 1.0))
        seconds = sorted(self.random.uniform(7.5, 19.0) * 3600 for _ in range(count))
        return [day + timedelta(seconds=round(s, 3)) for s in seconds]

    def tenant(self, day: datetime) -> str:
        growth = 1 + (day - FIRST).days / 60
        names = [name for name, _ in TENANTS]
        weights = [weight * (growth if name == "northwind" else 1) for name, weight in TENANTS]
        return self.random.choices(names, weights)[0]

    def live(self) -> None:
        for day in days():
            self.triage(day)
            self.research(day)
            self.answers(day)
            if day.weekday() < 5:
                self.code(day)

    # --- triage: Chat Completions, logged by the application with its request ---------------------------------------

    def triage(self, day: datetime) -> None:
        for at in self.moments(day, 34):
            tokens = self.size(14_200, 0.12)
            tenant = self.tenant(day)
            ticket = f"Ticket {self.random.randrange(10_000, 99_999)}: {self.random.choice(SUBJECTS)}"
            label = self.random.choice(QUEUES)
            right = self.random.random() < 0.955
            self.logs["triage"].append(self.chat(at, tenant, "gpt-5.4", ticket, label, tokens, right))
            if day >= datetime(2026, 10, 19, tzinfo=UTC) and day.weekday() < 5:  # a shadow test nobody looked at
                # The small model mostly fails where the large one does: the tickets are hard, not the model weak.
                same = right if self.random.random() < 0.994 else not right
                shadow = at + timedelta(seconds=1)
                self.logs["triage"].append(
                    self.chat(shadow, tenant, "gpt-5.4-mini", ticket, label, tokens, same, shadow=True)
                )
            if self.random.random() < 0.05:  # the form is submitted twice
                again = at + timedelta(seconds=round(self.random.uniform(0.2, 1.4), 3))
                self.logs["triage"].append(self.chat(again, tenant, "gpt-5.4", ticket, label, tokens, right))

    def chat(
        self,
        at: datetime,
        tenant: str,
        model: str,
        ticket: str,
        label: str,
        tokens: int,
        right: bool,
        *,
        shadow: bool = False,
    ) -> Record:
        policy = f"{at:%Y-%m-%d %H:%M} You sort tickets of a help desk. Policy 7.2 applies. Answer with one queue."
        body: Record = {
            "model": model,
            "temperature": 0,
            "max_completion_tokens": 16,
            "messages": [{"role": "system", "content": policy}, {"role": "user", "content": ticket}],
        }
        said = {"index": 0, "message": {"role": "assistant", "content": label}, "finish_reason": "stop"}
        usage = {
            "prompt_tokens": tokens,
            "completion_tokens": 4,
            "total_tokens": tokens + 4,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        served = {"gpt-5.4": "gpt-5.4-2026-03-05", "gpt-5.4-mini": "gpt-5.4-mini"}[model]
        response: Record = {
            "id": self.id("chatcmpl-"),
            "object": "chat.completion",
            "created": int(at.timestamp()),
            "model": served,
            "choices": [said],
            "usage": usage,
            "service_tier": "default",
        }
        return {
            "timestamp": iso(at),
            "task": "triage",
            "tenant": tenant,
            "environment": "shadow" if shadow else "production",
            "latency_ms": self.size(420),
            "success": right,
            "request": body,
            "response": response,
        }

    # --- research: an agent on the Messages API, one log line a call --------------------------------------------------

    def research(self, day: datetime) -> None:
        for at in self.moments(day, 3):
            run, tenant = self.id("run-"), self.tenant(day)
            fate = self.random.random()
            steps = 4 + min(14, self.size(4, 0.5))
            loops = self.random.randrange(14, 30) if fate < 0.11 else 0
            question = (
                f"Why did {self.random.choice(SUBJECTS).lower()} start for customer {self.random.randrange(900)}?"
            )
            messages: list[Record] = [{"role": "user", "content": question}]
            context, asked = 14_000, None
            for step in range(steps + loops):
                stuck = loops > 0 and step >= steps - 1
                last = step == steps + loops - 1 and not loops
                at += timedelta(seconds=round(self.random.uniform(4, 14), 3))
                new = self.size(3_200, 0.4)
                if last:
                    content: list[Record] = [{"type": "text", "text": "Found: configuration drift."}]
                else:
                    path = "status/gateway" if stuck else f"logs/{self.random.randrange(10_000)}"
                    asked = {"type": "tool_use", "id": self.id("toolu_"), "name": "read", "input": {"path": path}}
                    content = [asked]
                self.logs["research"].append(self.message(at, run, tenant, step + 1, messages, content, context, new))
                context += new
                messages = [*messages, {"role": "assistant", "content": content}]
                if asked is not None and not last:
                    result = "504 upstream timed out" if stuck else f"{self.random.getrandbits(64):016x}"
                    block = {"type": "tool_result", "tool_use_id": asked["id"], "content": result}
                    messages = [*messages, {"role": "user", "content": [block]}]

    def message(
        self,
        at: datetime,
        run: str,
        tenant: str,
        step: int,
        messages: list[Record],
        content: list[Record],
        context: int,
        new: int,
    ) -> Record:
        first = step == 1
        usage = {
            "input_tokens": 12,
            "cache_creation_input_tokens": context if first else new,
            "cache_read_input_tokens": 0 if first else context - new,
            "cache_creation": {"ephemeral_5m_input_tokens": context if first else new, "ephemeral_1h_input_tokens": 0},
            "output_tokens": self.size(240, 0.4),
            "service_tier": "standard",
        }
        response: Record = {
            "id": self.id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-5",
            "content": content,
            "stop_reason": "tool_use" if content[0]["type"] == "tool_use" else "end_turn",
            "usage": usage,
        }
        request = {
            "model": "claude-opus-5",
            "max_tokens": 4096,
            "system": "You investigate incidents. Read logs, then explain the cause.",
            "tools": [{"name": "read", "description": "Read a log", "input_schema": {"type": "object"}}],
            "messages": messages,
        }
        return {
            "ts": iso(at),
            "task": "research",
            "run_id": run,
            "step": step,
            "tenant": tenant,
            "user": f"analyst-{int(run[4:10]) % 4}",
            "request": request,
            "response": response,
        }

    # --- answers: through a LiteLLM gateway, many tenants -------------------------------------------------------------

    def answers(self, day: datetime) -> None:
        for at in self.moments(day, 26):
            prompt = self.size(31_000 if at >= DEPLOYED else 14_500, 0.25)
            tenant = self.tenant(day)
            chance = self.random.random()
            if chance < 0.02:
                for attempt in range(self.random.randrange(1, 4)):  # the gateway gives up after streaming half of it
                    failed = at - timedelta(seconds=40 * (attempt + 1))
                    self.logs["gateway"].append(self.payload(failed, "answer", tenant, prompt, 90, failure=True))
            self.logs["gateway"].append(self.payload(at, "answer", tenant, prompt, self.size(520)))
            if chance > 0.93:
                self.logs["gateway"].append(
                    self.payload(
                        at + timedelta(seconds=9), "translate", tenant, 700, 650, model="helpdesk-translate-v2"
                    )
                )

    def payload(
        self,
        at: datetime,
        task: str,
        tenant: str,
        prompt: int,
        completion: int,
        *,
        model: str = "claude-sonnet-4-6",
        failure: bool = False,
    ) -> Record:
        ours = model == "helpdesk-translate-v2"
        provider = "custom_openai" if ours else "anthropic"
        cost = 0.0 if ours else round(prompt * 3e-6 + completion * 15e-6, 9)
        seconds = self.size(6_000) / 1000
        return {
            "id": self.id("chatcmpl-" if ours else "msg_"),
            "litellm_call_id": self.id("call-"),
            "trace_id": self.id("trace-"),
            "call_type": "acompletion",
            "status": "failure" if failure else "success",
            "custom_llm_provider": provider,
            "model": model,
            "model_group": task,
            "model_map_information": {"model_map_key": model, "model_map_value": None},
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "response_cost": cost,
            "startTime": at.timestamp(),
            "endTime": round(at.timestamp() + seconds, 3),
            "completionStartTime": round(at.timestamp() + seconds / 4, 3),
            "cache_hit": None,
            "request_tags": [task],
            "end_user": tenant,
            "metadata": {
                "user_api_key_alias": "helpdesk",
                "user_api_key_team_alias": "support",
                "requester_metadata": {"task": task, "tenant": tenant},
                "usage_object": {"prompt_tokens": prompt, "completion_tokens": completion},
            },
            "error_information": {"error_code": "504", "error_class": "Timeout"} if failure else None,
            "hidden_params": {"litellm_model_name": model},
            "messages": None,
            "response": None if failure else {"choices": [{"finish_reason": "stop"}]},
        }

    # --- a developer's coding agent: transcripts of sessions ----------------------------------------------------------

    def code(self, day: datetime) -> None:
        if self.random.random() < 0.45:
            return
        session = f"{self.random.getrandbits(32):08x}-0000-4000-8000-{self.random.getrandbits(48):012x}"
        at = day + timedelta(hours=9, seconds=self.random.randrange(20_000))
        context, parent = 18_000, None
        for turn in range(self.random.randrange(6, 18)):
            at += timedelta(seconds=self.random.randrange(8, 90))
            new, out = self.size(900, 0.6), self.size(310, 0.5)
            shared = {"sessionId": session, "cwd": "/home/dev/helpdesk", "version": "2.1.277", "userType": "external"}
            if turn % 5 == 0:
                parent = self.row(shared, at, parent, "user", {"role": "user", "content": "Please go on."})
            usage = {
                "input_tokens": 4,
                "cache_creation_input_tokens": new if turn else context,
                "cache_read_input_tokens": context if turn else 0,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": new if turn else context,
                    "ephemeral_1h_input_tokens": 0,
                },
                "output_tokens": out,
                "service_tier": "standard",
            }
            message, request = self.id("msg_"), self.id("req_")
            for part in (0, 1):  # one response, a row for each block of its content; only the last knows the output
                kind = {"type": "text", "text": "…"} if part == 0 else tool(self.id("toolu_"), turn)
                body = {"id": message, "type": "message", "role": "assistant", "model": "claude-opus-4-8"}
                body |= {"content": [kind], "stop_reason": "tool_use" if part else None}
                body |= {"usage": usage | {"output_tokens": out if part else 3}}
                parent = self.row(shared, at, parent, "assistant", body, request)
            context += new + out

    def row(
        self, shared: Record, at: datetime, parent: str | None, kind: str, message: Record, request: str | None = None
    ) -> str:
        identity = self.id("uuid-")
        row = {"parentUuid": parent, "isSidechain": False, "type": kind, "uuid": identity, "timestamp": iso(at)}
        self.logs["developer"].append(shared | row | {"message": message} | ({"requestId": request} if request else {}))
        return identity


QUEUES = ["billing", "outage", "account", "hardware", "security"]
SUBJECTS = ["Invoice mismatch", "Login failures", "Slow dashboards", "Printer offline", "Webhook errors", "Sync delays"]


def tool(identity: str, turn: int) -> Record:
    return {"type": "tool_use", "id": identity, "name": "Edit", "input": {"file": f"src/part_{turn}.py"}}


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(record: Record) -> str:
    return str(record.get("timestamp") or record.get("ts") or iso(datetime.fromtimestamp(record["startTime"], UTC)))


def lines(records: list[Record]) -> str:
    return "".join(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for record in records)


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0) if name.endswith(".gz") else data)


def build(folder: Path) -> None:
    company = Company()
    company.live()
    logs = {name: sorted(records, key=when) for name, records in company.logs.items()}
    september = {name: [r for r in records if when(r) < "2026-10"] for name, records in logs.items()}
    october = {name: [r for r in records if when(r) >= "2026-10"] for name, records in logs.items()}
    write(folder, "app/triage-2026-09.jsonl.gz", lines(september["triage"]))
    write(folder, "app/triage-2026-10.jsonl.gz", lines(october["triage"]))
    write(folder, "agent/research-2026-09.jsonl.gz", lines(september["research"]))
    # The shipper restarted: the last days of September were delivered again, and a line was cut at each restart.
    again = [r for r in september["research"] if when(r) >= "2026-09-28"]
    text = lines([*again, *october["research"]])
    write(folder, "agent/research-2026-10.jsonl.gz", text.replace('"stop_reason":"end_turn","usage"', '"stop_rea\n', 2))
    write(folder, "gateway/2026-09.ndjson.gz", lines(september["gateway"]))
    last = lines(october["gateway"])
    write(folder, "gateway/2026-10.ndjson.gz", last + last[: last.rindex('{"id"') - 40][-1000:].split("\n")[-1])
    sessions: dict[str, list[Record]] = {}
    for row in logs["developer"]:
        sessions.setdefault(row["sessionId"], []).append(row)
    for session, rows in sessions.items():
        write(folder, f"developer/{session}.jsonl", lines(rows))


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "demo")
