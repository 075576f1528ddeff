"""Object storage as one thing: which addresses are of it, who answers there, and what it says when it refuses.

The optional extra `costaudit[cloud]` brings obstore (one wheel, no dependencies of its own) for the three protocols.
Credentials and endpoints come from the environment alone, and are in no message.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from costaudit.errors import CostAuditError, LogError, UsageError

SCHEMES = ("s3://", "gs://", "az://")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
SECRETS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL")  # parts of the names of variables
SECRET = 8  # characters; shorter values are words
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; "
    "AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}


def is_remote(path: object) -> bool:
    """Whether a path names an object, a prefix or a pattern in object storage."""
    return str(path).startswith(SCHEMES)


def split(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of an address; UsageError where it names no bucket."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise UsageError(f"{url}: names no bucket", hint=f"e.g. {scheme}://bucket/logs/2026-10/")
    return scheme, bucket, key


def connected(scheme: str, bucket: str) -> Any:
    """A bucket, as the environment says it is reached; nothing is asked of it yet."""
    endpoints = [os.environ.get(name, "") for name in ENDPOINTS]
    options: dict[str, Any] = {
        "client_options": {"allow_http": True} if any(e.startswith("http://") for e in endpoints) else None,
        "retry_config": {"max_retries": 4},
    }
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if scheme == "gs" and emulator:  # as Google's own libraries read it
        host = emulator if "://" in emulator else f"http://{emulator}"
        options |= {"base_url": host, "skip_signature": True, "client_options": {"allow_http": True}}
        # Writes ask for a token whatever is said of signatures, unless the account itself has none.
        account = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        options["service_account_key"] = json.dumps(account)
    from obstore.store import from_url

    return from_url(f"{scheme}://{bucket}/", **options)


def library() -> Any:
    """The library that speaks the protocols; UsageError where it is not installed."""
    try:
        import obstore
        import obstore.exceptions
    except ImportError:
        raise UsageError("object storage needs the extra `cloud`", hint="pip install 'costaudit[cloud]'") from None
    return obstore


def refused(
    url: str, scheme: str, problem: Exception, what: str = "cannot be listed", kind: type[CostAuditError] = LogError
) -> CostAuditError:
    """That the storage said no, and where its credentials are looked for."""
    return kind(
        f"{url}: {what}: {sentence(problem)}",
        hint=f"credentials and endpoint come from the environment: {CREDENTIALS[scheme]}",
    )


def sentence(problem: Exception) -> str:
    """What the storage said, without its request, its XML, its stack and anything secret."""
    text = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    text = re.sub(r" in [\d.]+\w*s(, after [^-]*)? - ", ": ", text)  # how long it took, and how often it was tried
    said = re.search(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>", text)
    return _blank(f"{said[1]}: {said[2]}" if said else text.partition("\n")[0])[:300]


def _blank(text: str) -> str:
    """The text without signatures, passwords of addresses, and values of variables that are secret."""
    text = re.sub(r"(https?://)[^/\s]*@", r"\1", re.sub(r"\?[^\s'\"<>]+", "?…", text))
    for name, value in os.environ.items():
        if len(value) >= SECRET and name.startswith(("AWS_", "AZURE_", "GOOGLE_")) and any(w in name for w in SECRETS):
            text = text.replace(value, "…")
    return text
