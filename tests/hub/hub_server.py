"""A local substitute for the Hub: its HTTP protocol for models and Spaces, with everything in memory.

A repository is a set of commits (path -> bytes) and references to them; the name of that of a Space starts with
`spaces/`. Tests can make the server fail: see `Hub`.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

_LFS = re.compile(r".*\.(safetensors|onnx|png|wasm)$")


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # "main", "refs/pr/1", "tags/v1"
    log: list[str] = field(default_factory=list)  # messages of the commits of `main`
    closed: list[int] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], reference: str, message: str) -> str:
        content = repr((sorted((n, hashlib.sha1(f).hexdigest()) for n, f in files.items()), message, len(self.commits)))
        oid = hashlib.sha1(content.encode()).hexdigest()
        self.commits[oid] = files
        self.refs[reference] = oid
        if reference == "main":
            self.log.append(message)
        return oid

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision) or self.refs.get(f"tags/{revision}")


@dataclass
class Hub:
    """
    `break_on(method, path)`: whether the server refuses this request, with `status`.
    `spoil(path, content)`: the bytes that are stored in place of an uploaded file.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)  # by SHA-256
    sdks: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # of Spaces, and their hardware
    address: str = ""
    requests: list[str] = field(default_factory=list)
    break_on: Callable[[str, str], bool] = lambda method, path: False
    status: int = 403
    spoil: Callable[[str, bytes], bytes] = lambda path, content: content

    # The methods below answer requests with (status, JSON or bytes, headers).

    def create(self, name: str):
        if name in self.repositories:
            return 409, {"error": "exists", "url": f"{self.address}/{name}"}, {}
        self.repositories[name] = Repository()
        self.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "main", "initial commit")
        return 200, {"url": f"{self.address}/{name}", "name": name, "id": name}, {}

    def preupload(self, repository: Repository, revision: str, files: list[dict]):
        present = repository.commits[repository.resolve(revision)]
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if _LFS.match(file["path"]) else "regular",
                    "shouldIgnore": False,
                    "oid": _oid(file["path"], present[file["path"]]) if file["path"] in present else None,
                }
                for file in files
            ]
        }

    def lfs_batch(self, objects: list[dict]):
        def answer(wanted):
            if wanted["oid"] in self.uploads:
                return wanted
            return wanted | {"actions": {"upload": {"href": f"{self.address}/lfs/{wanted['oid']}"}}}

        return {"transfer": "basic", "objects": [answer(wanted) for wanted in objects]}

    def commit(self, repository: Repository, revision: str, lines: list[dict], create_pr: bool):
        parent = repository.resolve(revision)
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit", parent) != parent:
            return 412, {"error": "the branch has moved since"}, {}
        files = dict(repository.commits[parent])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = self.spoil(value["path"], base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.uploads:
                    return 400, {"error": f"{value['path']} was not uploaded"}, {}
                files[value["path"]] = self.spoil(value["path"], self.uploads[value["oid"]])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        number = 1 + sum(name.startswith("refs/pr/") for name in repository.refs)
        name = next(name for name, found in self.repositories.items() if found is repository)
        oid = repository.commit(files, f"refs/pr/{number}" if create_pr else revision, header["summary"])
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{self.address}/{name}/commit/{oid}"}
        if create_pr:
            answer["pullRequestUrl"] = f"{self.address}/{name}/discussions/{number}"
        return 200, answer, {}

    def resolve_file(self, repository: Repository, revision: str, path: str):
        commit = repository.resolve(revision)
        if commit is None:
            return 404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"}
        if path not in repository.commits[commit]:
            return 404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
        content = repository.commits[commit][path]
        return 200, content, {"X-Repo-Commit": commit, "ETag": f'"{_oid(path, content)}"'}

    def info(self, name: str, repository: Repository, revision: str):
        commit = repository.resolve(revision)
        if commit is None:
            return 404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"}
        siblings = [{"rfilename": path} for path in sorted(repository.commits[commit])]
        return 200, {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": [], "private": False}, {}


def _oid(path: str, content: bytes) -> str:
    if _LFS.match(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": _oid(path, content)[:40]}
    if _LFS.match(path):
        entry["lfs"] = {"oid": _oid(path, content), "size": len(content), "pointerSize": 130}
    return entry


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet

    def handle_any(self):
        hub: Hub = self.server.hub
        url = urlsplit(self.path)
        path = unquote(url.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append(f"{self.command} {path}")
        if hub.break_on(self.command, path):
            return self.answer(hub.status, {"error": "refused by the test"}, {})
        status, content, headers = self.route(hub, path, url.query, body)
        return self.answer(status, content, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

    def route(self, hub: Hub, path: str, query: str, body: bytes):
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
            if wanted.get("type") == "space":
                name = f"spaces/{name}"
                hub.sdks[name] = wanted["sdk"], wanted.get("hardware")
            return hub.create(name)
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if found := re.fullmatch(r"/lfs/(\w+)", path):
            hub.uploads[found[1]] = body
            return 200, {}, {}
        if found := re.fullmatch(r"/((?:spaces/)?[^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return 200, hub.lfs_batch(json.loads(body)["objects"]), {}
        found = re.fullmatch(r"/(?:api/(?:models/)?)?((?:spaces/)?[^/]+/[^/]+?)(?:/(.*))?", path)
        repository = found and hub.repositories.get(found[1])
        if repository is None:
            return 404, {"error": "no such repository"}, {"X-Error-Code": "RepoNotFound"}
        name, rest = found[1], found[2] or ""
        if not path.startswith("/api/"):
            found = re.fullmatch(r"resolve/((?:refs/pr/)?[^/]+)/(.+)", rest)
            return hub.resolve_file(repository, found[1], found[2])
        if found := re.fullmatch(r"(?:revision/(.+))?", rest):
            return hub.info(name, repository, found[1] or "main")
        if rest == "refs":
            return 200, self.references(repository), {}
        if found := re.fullmatch(r"preupload/(.+)", rest):
            return 200, hub.preupload(repository, found[1], json.loads(body)["files"]), {}
        if found := re.fullmatch(r"commit/(.+)", rest):
            lines = [json.loads(line) for line in body.decode().splitlines()]
            return hub.commit(repository, found[1], lines, "create_pr=1" in query)
        if found := re.fullmatch(r"tree/((?:refs/pr/)?[^/]+)(?:/(.+))?", rest):
            files = repository.commits.get(repository.resolve(found[1]) or "", {})
            return 200, [_entry(p, c) for p, c in sorted(files.items()) if p.startswith(found[2] or "")], {}
        if found := re.fullmatch(r"tag/(.+)", rest):
            tag = f"tags/{json.loads(body)['tag']}"
            if tag in repository.refs:
                return 409, {"error": "the tag exists"}, {}
            repository.refs[tag] = repository.resolve(found[1])
            return 200, {}, {}
        if found := re.fullmatch(r"discussions/(\d+)/merge", rest):
            repository.commit(repository.commits[repository.refs[f"refs/pr/{found[1]}"]], "main", f"Merge {found[1]}")
            return 200, {}, {}
        if found := re.fullmatch(r"discussions/(\d+)/status", rest):
            repository.closed.append(int(found[1]))
            event = {
                "id": "1",
                "type": "status-change",
                "createdAt": "2026-01-01T00:00:00.000Z",
                "author": {"name": "a"},
            }
            return 200, {"newStatus": event | {"data": {"status": "closed"}}}, {}
        return 404, {"error": f"this server does not know {path}"}, {}

    def references(self, repository: Repository) -> dict:
        def entry(name, ref):
            return {"name": name, "ref": ref, "targetCommit": repository.refs[ref if ref in repository.refs else name]}

        tags = [entry(ref.removeprefix("tags/"), ref) for ref in repository.refs if ref.startswith("tags/")]
        return {"branches": [entry("main", "main")], "tags": tags, "converts": []}

    def answer(self, status: int, content, headers: dict):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextmanager
def running_hub():
    """A [`Hub`] that serves on `address` inside the context."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Requests)
    server.daemon_threads = True
    server.hub = hub
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
