"""Local servers of object storage, and logs to put there."""

from __future__ import annotations

import json
import threading
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, unquote

import msgspec
import pytest

from costaudit.ingest import _listing, _remote

CALL = {"object": "chat.completion", "model": "gpt-5.4", "choices": [], "usage": {"prompt_tokens": 7}}
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

NUMBERS = count(1)  # of buckets: no test finds what another one has left


def lines(*numbers):
    return "".join(json.dumps(CALL | {"id": f"c{n}", "created": 1_790_000_000 + n}) + "\n" for n in numbers).encode()


class _OneByOne:
    """An application that answers one request after the other: it looks for an object and writes it in two steps."""

    def __init__(self, app):
        self.app, self.lock = app, threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            return self.app(environ, start_response)


@pytest.fixture(scope="session")
def server():
    """The address of a local server of S3."""
    pytest.importorskip("obstore", reason="object storage needs the extra `cloud`")
    pytest.importorskip("moto.moto_server", reason="the local S3 server needs the extra `dev-cloud`")
    with running() as address:
        yield address


@contextmanager
def running():
    """A local server of S3, by its address."""
    from moto.moto_server import werkzeug_app as moto
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.log = lambda *_: None
    app = _OneByOne(moto.DomainDispatcherApplication(moto.create_backend_app))
    made = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()


class Bucket:
    """A bucket of the local server, and what was asked of it."""

    def __init__(self, name, endpoint):
        from obstore.store import from_url

        self.name, self.url = name, f"s3://{name}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()
        self.store = from_url(self.url, client_options={"allow_http": True})
        self.fetched = []

    def put(self, key, data):
        import obstore

        obstore.put(self.store, key, data)
        return f"{self.url}/{key}"


@pytest.fixture
def bucket(server, monkeypatch):
    for name, value in (VARIABLES | {"AWS_ENDPOINT_URL": server}).items():
        monkeypatch.setenv(name, value)
    made = Bucket(f"bucket-{next(NUMBERS)}", server)
    original = _remote._get

    def counted(item, place):
        made.fetched.append(item.key)
        return original(item, place)

    monkeypatch.setattr(_remote, "_get", counted)
    return made


class Google:
    """A server of the part of Google's XML interface that is used.

    objects  by key: content, and when it was written
    heeds    whether it looks at the conditions of a write
    lost     keys whose next write is done, and never answered
    """

    def __init__(self):
        self.objects, self.heeds, self.lost = {}, True, set()
        handler = type("Handler", (_Google,), {"google": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.lock = threading.Lock()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_port}"

    def put(self, key, data, when=None):
        self.objects[key] = (data, when or datetime.now(UTC))


class _Google(BaseHTTPRequestHandler):
    google: Google

    def do_GET(self):
        _, _, query = self.path.partition("?")
        if "list-type=2" in query:
            below = parse_qs(query).get("prefix", [""])[0]
            entries = "".join(
                f"<Contents><Key>{key}</Key><LastModified>{when:%Y-%m-%dT%H:%M:%S.000Z}</LastModified><ETag>&quot;{key}"
                f"&quot;</ETag><Size>{len(data)}</Size></Contents>"
                for key, (data, when) in sorted(self.google.objects.items())
                if key.startswith(below)
            )
            self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())
        elif found := self.google.objects.get(self.key):
            data, when = found
            self.answer(200, data, when, etag=f'"{self.key}"')
        else:
            self.answer(404)

    do_HEAD = do_GET

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        with self.google.lock:
            only_new = self.google.heeds and self.headers.get("x-goog-if-generation-match") == "0"
            if only_new and self.key in self.google.objects:
                self.answer(412)
                return
            self.google.put(self.key, data)
        if self.key in self.google.lost:
            self.google.lost.remove(self.key)
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.answer(200, etag=f'"{self.key}"')

    def do_DELETE(self):
        self.answer(204 if self.google.objects.pop(self.key, None) else 404)

    @property
    def key(self):
        return unquote(self.path.partition("?")[0].removeprefix("/bucket/"))

    def answer(self, status, body=b"", when=None, **headers):
        self.send_response(status)
        moment = format_datetime(when or datetime.now(UTC), usegmt=True)
        for name, value in {**headers, "last-modified": moment}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def google(monkeypatch):
    """`gs://bucket`, empty."""
    pytest.importorskip("obstore", reason="object storage needs the extra `cloud`")
    made = Google()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.address)
    yield made
    made.server.shutdown()
    made.server.server_close()


def nameless(parts):
    """Parts of a store without the random end of their names."""
    return [
        msgspec.structs.replace(p, file=_listing.hash_of(p.file), sums=p.sums and _listing.hash_of(p.sums))
        for p in parts
    ]
