"""Generated logs of any size: the same size and seed give the same bytes.

Line sizes and the mixture of rows are those of real transcripts and request logs: most bytes are tool results and
repeated conversations, few are usage. Values of ids, times and text are made up.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _words import Text, digits, iso, uuid_of

START = datetime(2026, 9, 1, 8, tzinfo=UTC)
CLAUDE = ("claude-sonnet-4-5-20250929", "claude-opus-4-5-20251101", "claude-haiku-4-5-20251001")
CHAT = ("gpt-4.1-2025-04-14", "gpt-4o-mini-2024-07-18", "gpt-5-mini-2025-08-07")
FILES = 10_000  # of `many_files`
TOOLS = ("Bash", "Read", "Edit", "Grep", "Glob", "Write")


class Session:
    """The rows of one Claude Code session, as the program writes them."""

    def __init__(self, source: random.Random, text: Text, *, day: int, agent: str = "", session: str = "") -> None:
        self.source, self.text = source, text
        self.id = session or uuid_of(source)
        self.agent = agent
        self.when = START + timedelta(days=day, minutes=source.randrange(600))
        self.last = "null"
        self.cached = 18_000
        self.project = f"/home/dev/project-{source.randrange(12)}"

    def row(self, kind: str, body: str, *, after: str = "") -> str:
        self.when += timedelta(milliseconds=self.source.randrange(300, 9_000))
        uuid = uuid_of(self.source)
        agent = f'"agentId":"{self.agent}",' if self.agent else ""
        row = (
            f'{{"parentUuid":{self.last},"isSidechain":{"true" if self.agent else "false"},"userType":"external",'
            f'"cwd":"{self.project}","sessionId":"{self.id}","version":"2.0.55","gitBranch":"main",{agent}"type":"{kind}",'
            f'{body},"uuid":"{uuid}","timestamp":"{iso(self.when)}"{after}}}\n'
        )
        self.last = f'"{uuid}"'
        return row

    def prompt(self) -> Iterator[str]:
        yield self.row("user", f'"message":{{"role":"user","content":"{self.text.sized(300, 1, 20_000)}"}}')
        if not self.agent:
            yield (
                f'{{"type":"file-history-snapshot","messageId":"{uuid_of(self.source)}","snapshot":{{"messageId":"'
                f'{uuid_of(self.source)}","trackedFileBackups":{{}},"timestamp":"{iso(self.when)}"}},'
                '"isSnapshotUpdate":false}\n'
            )

    def step(self, *, final: bool) -> Iterator[str]:
        """One response in as many rows as it has blocks, and the result of the tool it calls."""
        source, text = self.source, self.text
        tool, call = source.choice(TOOLS), "toolu_" + digits(source, 24)
        blocks = []
        if source.random() < 0.5:
            signed = digits(source, 400)
            blocks.append(f'{{"type":"thinking","thinking":"{text.sized(500, 1, 9_000)}","signature":"{signed}"}}')
        if final or source.random() < 0.4:
            blocks.append(f'{{"type":"text","text":"{text.sized(350, 1, 9_000)}"}}')
        if not final:
            given = (
                f'{{"file_path":"{self.project}/{digits(source, 6)}.py","command":"{text.sized(150, 1.2, 20_000)}"}}'
            )
            blocks.append(f'{{"type":"tool_use","id":"{call}","name":"{tool}","input":{given}}}')
        message, request = "msg_01" + digits(source, 22), "req_011" + digits(source, 21)
        model = CLAUDE[2] if self.agent else CLAUDE[source.random() < 0.3]
        written = source.randrange(200, 4_000)
        for n, block in enumerate(blocks, 1):
            done = n == len(blocks)
            stop = ('"end_turn"' if final else '"tool_use"') if done else "null"
            spent = source.randrange(60, 900) if done else n
            yield self.row(
                "assistant",
                f'"message":{{"model":"{model}","id":"{message}","type":"message","role":"assistant","content":[{block}],'
                f'"stop_reason":{stop},"stop_sequence":null,"usage":{{"input_tokens":{source.randrange(3, 12)},'
                f'"cache_creation_input_tokens":{written},"cache_read_input_tokens":{self.cached},"cache_creation":'
                f'{{"ephemeral_5m_input_tokens":{written},"ephemeral_1h_input_tokens":0}},"output_tokens":{spent},'
                f'"service_tier":"standard"}}}},"requestId":"{request}"',
            )
        self.cached += written
        if not final:
            yield from self._result(call)

    def _result(self, call: str) -> Iterator[str]:
        if self.source.random() < 0.3:
            yield self.row(
                "progress",
                f'"data":{{"type":"bash_progress","output":"{self.text.sized(400, 1, 9_000)}","elapsedTimeSeconds":3}},'
                f'"toolUseID":"bash-progress-0","parentToolUseID":"{call}"',
            )
        said = self.text.sized(2_200, 1.5, 120_000)
        block = f'[{{"tool_use_id":"{call}","type":"tool_result","content":"{said}"}}]'
        beside = f',"toolUseResult":{{"stdout":"{said}","stderr":"","interrupted":false,"isImage":false}}'
        yield self.row("user", f'"message":{{"role":"user","content":{block}}}', after=beside)

    def rows(self, size: int) -> Iterator[str]:
        while size > 0:
            for part in (self.prompt(), *(self.step(final=n == 0) for n in range(self.source.randint(3, 25), -1, -1))):
                for row in part:
                    size -= len(row)
                    yield row


def claude_code(folder: Path, size: int, seed: int = 1) -> int:
    """A folder like `~/.claude/projects`: sessions, subagents, and a few resumed sessions that copy rows."""
    source = random.Random(seed)
    text = Text(source)
    written = day = 0
    while written < size:
        session = Session(source, text, day=day % 60)
        home = folder / f"-home-dev-project-{source.randrange(12)}"
        want = min(size - written, round(source.lognormvariate(0, 1) * 3_000_000))
        written += _write(home / f"{session.id}.jsonl", session.rows(want))
        if source.random() < 0.4 and written < size:
            agent = Session(source, text, day=day % 60, agent=digits(source, 8), session=session.id)
            path = home / session.id / "subagents" / f"agent-{agent.agent}.jsonl"
            written += _write(path, agent.rows(min(size - written, 900_000)))
        elif source.random() < 0.1:
            lines = (home / f"{session.id}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
            written += _write(home / f"{uuid_of(source)}.jsonl", iter(lines[: len(lines) // 4]))
        day += 1
    return written


def _write(path: Path, rows: Iterator[str]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        return sum(stream.write(row.encode()) for row in rows)


# --- request logs -----------------------------------------------------------------------------------------------------


class Conversation:
    """An agent run whose every call sends the whole conversation again."""

    def __init__(self, source: random.Random, text: Text, systems: list[str], when: datetime) -> None:
        self.source, self.text, self.when = source, text, when
        self.task = source.randrange(len(systems))
        self.system = f'{{"role":"system","content":"{systems[self.task]}"}}'
        self.turns = [f'{{"role":"user","content":"{text.sized(600, 1, 20_000)}"}}']
        self.run, self.tenant = "run_" + digits(source, 12), f"tenant-{source.randrange(40)}"
        self.sent = 400

    def call(self) -> tuple[str, str, str, int, int]:
        """Messages, tool call as the answer's message, finish reason, input and output tokens."""
        source = self.source
        self.when += timedelta(milliseconds=source.randrange(800, 20_000))
        messages = f"[{self.system},{','.join(self.turns)}]"
        identity, query = "call_" + digits(source, 24), self.text.sized(120, 0.8, 2_000)
        given = json.dumps(f'{{"query":"{query}"}}', ensure_ascii=False)
        answer = (
            f'{{"role":"assistant","content":null,"tool_calls":[{{"id":"{identity}","type":"function",'
            f'"function":{{"name":"{source.choice(TOOLS)}","arguments":{given}}}}}]}}'
        )
        said = self.text.sized(900, 1.1, 60_000)
        self.turns += [answer, f'{{"role":"tool","tool_call_id":"{identity}","content":"{said}"}}']
        return messages, answer, "tool_calls", len(messages) // 4, source.randrange(40, 700)


DECLARED = ",".join(
    f'{{"type":"function","function":{{"name":"{name}","description":"Runs {name.lower()} in the workspace and returns '
    'what it prints.","parameters":{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}}}'
    for name in TOOLS
)


def _calls(source: random.Random) -> Iterator[tuple[Conversation, tuple[str, str, str, int, int]]]:
    text = Text(source)
    systems = [text.of(source.randrange(1_500, 6_000)) for _ in range(8)]
    day = 0
    while True:
        run = Conversation(source, text, systems, START + timedelta(days=day % 60, seconds=source.randrange(40_000)))
        for _ in range(source.randint(2, 24)):
            yield run, run.call()
        day += 1


def _chat_response(source: random.Random, model: str, answer: str, end: str, given: int, out: int, created: int) -> str:
    return (
        f'{{"id":"chatcmpl-{digits(source, 28)}","object":"chat.completion","created":{created},"model":"{model}",'
        f'"choices":[{{"index":0,"message":{answer},"logprobs":null,"finish_reason":"{end}"}}],"usage":'
        f'{{"prompt_tokens":{given},"completion_tokens":{out},"total_tokens":{given + out},"prompt_tokens_details":'
        f'{{"cached_tokens":{given // 256 * 128},"audio_tokens":0}},"completion_tokens_details":'
        f'{{"reasoning_tokens":0,"audio_tokens":0}}}},'
        '"service_tier":"default","system_fingerprint":"fp_1"}'
    )


def openai_chat(path: Path, size: int, seed: int = 1) -> int:
    """Chat Completions with their requests, one JSON line a call."""

    def rows(source: random.Random) -> Iterator[str]:
        for run, (messages, answer, end, given, out) in _calls(source):
            model = CHAT[run.task % len(CHAT)]
            response = _chat_response(source, model, answer, end, given, out, int(run.when.timestamp()))
            yield (
                f'{{"timestamp":"{iso(run.when)}","run_id":"{run.run}","task":"task-{run.task}","tenant":"{run.tenant}",'
                f'"request":{{"model":"{model[:-11]}","messages":{messages},"tools":[{DECLARED}],"temperature":0.2}},'
                f'"response":{response},"latency_ms":{source.randrange(300, 9_000)}}}\n'
            )

    return _fill(path, size, rows(random.Random(seed)))


def litellm(path: Path, size: int, seed: int = 1) -> int:
    """Standard logging payloads of LiteLLM, one JSON line a call."""

    def rows(source: random.Random) -> Iterator[str]:
        for run, (messages, answer, end, given, out) in _calls(source):
            model = CHAT[run.task % len(CHAT)]
            response = _chat_response(source, model, answer, end, given, out, int(run.when.timestamp()))
            seconds = run.when.timestamp()
            yield (
                f'{{"id":"chatcmpl-{digits(source, 28)}","trace_id":"{run.run}","call_type":"acompletion","cache_hit":'
                f'null,"stream":false,"status":"success","custom_llm_provider":"openai","startTime":{seconds:.6f},"endTime":'
                f'{seconds + 2:.6f},"completionStartTime":{seconds + 1:.6f},"response_time":2.0,"model":"{model}",'
                f'"metadata":{{"user_api_key_hash":"{digits(random.Random(run.tenant), 16)}",'
                f'"user_api_key_alias":"{run.tenant}","user_api_key_team_alias":"{run.tenant}","requester_metadata":{{"task":"task-{run.task}","run_id":'
                f'"{run.run}"}},"usage_object":{{"prompt_tokens":{given},"completion_tokens":{out},"prompt_tokens_details":'
                f'{{"cached_tokens":{given // 256 * 128}}}}}}},"response_cost":0.000225,"total_tokens":{given + out},'
                f'"prompt_tokens":{given},"completion_tokens":{out},"request_tags":[],"end_user":"","api_base":'
                f'"https://api.openai.com","model_group":"main","model_id":"m1","requester_ip_address":null,"messages":'
                f'{messages},"response":{response},"model_parameters":{{"temperature":0.2,"tools":[{DECLARED}]}},'
                '"hidden_params":{"model_id":"m1","cache_key":null,"api_base":"https://api.openai.com","response_cost":'
                '0.000225,"litellm_model_name":"'
                + model
                + '"},"model_map_information":{"model_map_key":"'
                + model
                + '",'
                '"model_map_value":null}}\n'
            )

    return _fill(path, size, rows(random.Random(seed)))


def otlp(path: Path, size: int, seed: int = 1) -> int:
    """Exports of a collector: about ten spans each, calls with their messages under agent and tool spans."""

    def rows(source: random.Random) -> Iterator[str]:
        spans: list[str] = []
        current, root, trace = None, "", ""
        for run, (messages, answer, end, given, out) in _calls(source):
            if run is not current:
                current, root, trace = run, digits(source, 16), digits(source, 32)
                spans.append(_span(trace, root, "", "invoke_agent worker", run.when, 60, _agent(run)))
            model, span = CHAT[run.task % len(CHAT)], digits(source, 16)
            attributes = [
                *_text("gen_ai.operation.name", "chat"), *_text("gen_ai.provider.name", "openai"),
                *_text("gen_ai.request.model", model[:-11]), *_text("gen_ai.response.model", model),
                *_text("gen_ai.response.id", "chatcmpl-" + digits(source, 28)),
                *_text("gen_ai.conversation.id", run.run), *_text("tenant.id", run.tenant),
                *_whole("gen_ai.usage.input_tokens", given), *_whole("gen_ai.usage.output_tokens", out),
                *_whole("gen_ai.usage.cache_read.input_tokens", given // 256 * 128),
                *_text("gen_ai.input.messages", messages), *_text("gen_ai.output.messages", f"[{answer}]"),
                f'{{"key":"gen_ai.response.finish_reasons","value":{{"arrayValue":{{"values":[{{"stringValue":"{end}"}}]}}}}}}',
            ]  # fmt: skip
            spans.append(_span(trace, span, root, f"chat {model}", run.when, 3, attributes))
            tool = [*_text("gen_ai.operation.name", "execute_tool"), *_text("gen_ai.tool.name", "Bash")]
            spans.append(_span(trace, digits(source, 16), root, "execute_tool Bash", run.when, 1, tool))
            if len(spans) >= 10:
                yield _export(spans)
                spans = []

    return _fill(path, size, rows(random.Random(seed)))


def _agent(run: Conversation) -> list[str]:
    return [*_text("gen_ai.operation.name", "invoke_agent"), *_text("gen_ai.agent.name", f"task-{run.task}")]


def _text(key: str, value: str) -> list[str]:
    return [f'{{"key":"{key}","value":{{"stringValue":{json.dumps(value, ensure_ascii=False)}}}}}']


def _whole(key: str, value: int) -> list[str]:
    return [f'{{"key":"{key}","value":{{"intValue":"{value}"}}}}']


def _span(trace: str, span: str, parent: str, name: str, when: datetime, seconds: int, attributes: list[str]) -> str:
    begun = int(when.timestamp() * 1_000) * 1_000_000
    return (
        f'{{"traceId":"{trace}","spanId":"{span}","parentSpanId":"{parent}","name":"{name}","kind":3,"startTimeUnixNano":'
        f'"{begun}","endTimeUnixNano":"{begun + seconds * 1_000_000_000}","attributes":[{",".join(attributes)}],'
        '"status":{}}'
    )


def _export(spans: list[str]) -> str:
    service = ",".join(_text("service.name", "worker"))
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{service}]}},"scopeSpans":[{{"scope":{{"name":"agent","version":'
        f'"1.0"}},"spans":[{",".join(spans)}]}}]}}]}}\n'
    )


def _fill(path: Path, size: int, rows: Iterator[str]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("wb") as stream:
        while written < size:
            written += stream.write(next(rows).encode())
    return written


def one_file(path: Path, size: int, seed: int = 1) -> int:
    """One endless Claude Code session."""
    source = random.Random(seed)
    return _write(path, Session(source, Text(source), day=0).rows(size))


def many_files(folder: Path, size: int, seed: int = 1) -> int:
    """As many sessions as a team has in a year, none of them long."""
    source = random.Random(seed)
    text = Text(source)
    shares = [source.lognormvariate(0, 0.6) for _ in range(FILES)]
    written, rest = 0, sum(shares)
    for n, share in enumerate(shares):
        session = Session(source, text, day=n % 60)
        want = round((size - written) * share / rest)  # the last row of a file goes beyond
        rest -= share
        path = folder / f"-home-dev-project-{n % 40}" / f"{session.id}.jsonl"
        written += _write(path, _until(session.rows(want), want))
    return written


def _until(rows: Iterator[str], size: int) -> Iterator[str]:
    """The rows up to so many bytes, and one that goes on beyond them."""
    for row in rows:
        yield row
        size -= len(row)
        if size <= 0:
            return


def one_line(path: Path, size: int, seed: int = 1) -> int:
    """A short Claude Code session of which one tool result, logged twice in its row, is huge."""
    source = random.Random(seed)
    text = Text(source)
    session = Session(source, text, day=0)
    rows = [*session.prompt(), *session.step(final=False)]
    said = text.of(size // 2)
    block = f'[{{"tool_use_id":"toolu_1","type":"tool_result","content":"{said}"}}]'
    rows.append(
        session.row("user", f'"message":{{"role":"user","content":{block}}}', after=f',"toolUseResult":"{said}"')
    )
    return _write(path, iter([*rows, *session.step(final=True)]))


KINDS: dict[str, Callable[[Path, int, int], int]] = {
    "claude-code": claude_code,
    "openai-chat": openai_chat,
    "litellm": litellm,
    "otlp": otlp,
}
"""The formats that are measured."""
SHAPES: dict[str, Callable[[Path, int, int], int]] = {
    "many-files": many_files,
    "one-file": one_file,
    "one-line": one_line,
}
FOLDERS = ("claude-code", "many-files")


def made(kind: str, size: int, seed: int, home: Path) -> Path:
    """A log of the kind below `home`, written unless it is there already."""
    path = home / f"{kind}-{size // 1_000_000}MB-{seed}"
    path = path if kind in FOLDERS else path.with_suffix(".jsonl")
    if not path.exists():
        beside = path.with_name(path.name + ".writing")
        (KINDS | SHAPES)[kind](beside, size, seed)
        beside.rename(path)
    return path
