"""Trajectories of mini-SWE-agent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import Names, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, objects, part, results, soft, when
from costaudit.ingest._values import text, usd

NAMES = Names(
    ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"),
    ("cached_tokens", "cache_read_input_tokens"),
    ("cache_creation_tokens", "cache_creation_input_tokens", "cache_write_tokens"), ("reasoning_tokens",), inside=True,
)  # fmt: skip


class MiniSweAgent(Format):
    """Trajectories of mini-SWE-agent, one document a run.

    ## Where
    `<output>/<instance>/<instance>.traj.json` of benchmark runs, and the file named by `--output`.
    ## What it knows
    Tokens of each answer with cache and reasoning, model, cost as LiteLLM reckons it, commands run and what they gave,
    how the run ended. A run is a trajectory; its instance is the case.
    ## Traps
    `model_stats` restates the answers. An answer that could not be parsed was paid for: it stands with the message
    that says so. Cached input, read and written, stands inside the prompt. A cost of 0 is one that LiteLLM does not
    know. The same instance in two output folders is two runs.
    ## Limits
    Answers of versions before 2 that kept no `response` have no counts and are unmetered.
    """

    name = "mini-swe-agent"
    title = "mini-SWE-agent trajectories"

    def recognises(self, record: Mapping[str, Any]) -> int:
        said = record.get("trajectory_format")
        known = isinstance(said, str) and said.startswith("mini-swe-agent")
        return 96 if known and isinstance(record.get("messages"), list) else 0


@MiniSweAgent.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        messages = value.get("messages")
        if not isinstance(messages, list):
            out.foreign.append(record)
            return
        path = PurePath(self.file.shown)
        case = text(value.get("instance_id")) or path.name.partition(".")[0]
        folder = path.parent.parent.name if path.parent.name == case else path.parent.name
        asked = part(part(part(value, "info"), "config"), "model")
        given: list[tuple[Any, Any, bool | None]] = []
        made = 0
        for n, message in enumerate(messages, 1):
            extra = part(message, "extra")
            if "raw_output" in extra:
                given.append((None, extra.get("raw_output"), _failed(extra)))
            if not isinstance(message, Mapping) or not _is_call(message, extra):
                continue
            made += 1
            try:
                usage = _usage(part(part(extra, "response"), "usage"))
            except ValueError as problem:
                out.refuse(record.line, problem)
                continue
            self._row(record, (folder, case), n, text(asked.get("model_name")), extra, usage, given)
            given = []
        out.several(made, none="trajectory without answers")

    def _row(
        self,
        record: Record,
        of: tuple[str, str],
        step: int,
        asked: str | None,
        extra: Mapping[str, Any],
        usage: dict[str, int],
        given: list[tuple[Any, Any, bool | None]],
    ) -> None:
        response, (folder, case) = part(extra, "response"), of
        choices, actions = response.get("choices"), extra.get("actions")
        first = choices[0] if isinstance(choices, list) and choices else None
        commands = objects(actions)
        own = text(response.get("id"))
        self.add(
            record,
            request_id=own,
            started_at=when(response.get("created")) or when(extra.get("timestamp")),
            ended_at=when(extra.get("timestamp")),
            run_id=f"{folder}/{case}" if folder else case,
            instance_id=case,
            task="mini-swe-agent",
            model=text(response.get("model")) or asked,
            model_requested=asked,
            cost_logged_usd=soft(usd, extra.get("cost") or None),
            finish_reason=text(first.get("finish_reason")) if isinstance(first, Mapping) else None,
            tool_calls=calls((a.get("tool_call_id"), "bash", a.get("command")) for a in commands),
            tool_results=results(given),
            has_text=True,
            _key=own or f"mini-swe-agent {case} {step} {text(extra.get('timestamp')) or folder}",
            **usage,
        )


def _is_call(message: Mapping[str, Any], extra: Mapping[str, Any]) -> bool:
    """Whether a message is an answer of the model, or says that one could not be parsed."""
    return message.get("role") == "assistant" or isinstance(extra.get("response"), Mapping)


def _failed(extra: Mapping[str, Any]) -> bool | None:
    code = extra.get("returncode")
    return code != 0 if type(code) is int else None


def _usage(said: Mapping[str, Any]) -> dict[str, int]:
    """The token columns of LiteLLM's usage; empty where there is none. Raises ValueError for what is no count."""
    homes = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")
    inner = {k: v for home in homes for k, v in part(said, home).items()}
    return tokens({**inner, **said}, NAMES)
