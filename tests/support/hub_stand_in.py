"""A small hub: the part of the real one's protocol by which files are listed and fetched, over a folder."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_REPOSITORY = r"(?P<name>[^/]+/[^/]+)"


@dataclass
class Hub:
    """Repositories in `<root>/<models|datasets>/<owner>/<name>/`, all at one commit."""

    root: Path
    url: str = ""
    fetched: list[str] = field(default_factory=list)
    """Files whose content was asked for, as `name/file`."""

    def folder(self, kind: str, name: str) -> Path:
        return self.root / kind / name


def _entry(file: Path, top: Path) -> dict[str, Any]:
    content = file.read_bytes()
    name = str(file.relative_to(top))
    return {"type": "file", "path": name, "rfilename": name, "size": len(content), "oid": _etag(content)}


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _answer(self, body: bytes = b"") -> None:
        path = self.path.partition("?")[0]
        kind, _, rest = path.removeprefix("/api/").partition("/")
        if path.startswith("/api/") and kind in ("models", "datasets"):
            return self._api(kind, rest, body)
        kind = "datasets" if path.startswith("/datasets/") else "models"
        found = re.fullmatch(rf"/{_REPOSITORY}/resolve/[^/]+/(?P<file>.+)", path.removeprefix("/datasets"))
        file = self.hub.folder(kind, found["name"]) / found["file"] if found else None
        if found is None or file is None or not file.is_file():
            known = found is not None and self.hub.folder(kind, found["name"]).is_dir()
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"})
        content = file.read_bytes()
        if self.command == "GET":
            self.hub.fetched.append(f"{found['name']}/{found['file']}")
        return self._send(200, content, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT})

    def _api(self, kind: str, rest: str, body: bytes) -> None:
        found = re.fullmatch(rf"{_REPOSITORY}(?:/(?P<what>revision|tree|paths-info)/[^/]+(?P<path>/.*)?)?", rest)
        folder = None if found is None else self.hub.folder(kind, found["name"])
        if found is None or folder is None or not folder.is_dir():
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        entries = [_entry(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()]
        if found["what"] == "tree":
            return self._json(entries)
        if found["what"] == "paths-info":
            return self._json([entry for entry in entries if entry["path"] in body.decode()])
        info = {"id": found["name"], "sha": COMMIT, "siblings": entries, "tags": [], "private": False, "downloads": 0}
        return self._json({**info, "lastModified": "2026-01-01T00:00:00.000Z", "gated": False, "disabled": False})

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def running_hub(root: Path) -> Iterator[Hub]:
    """A hub over a folder, until the end."""
    hub = Hub(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
