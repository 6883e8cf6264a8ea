"""The server: the requests and answers of `handler.py` over HTTP."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect

from .answers import Answerer
from .graph import Graph
from .monitoring import MeasuredEngine, Metrics, RequestLog
from .queueing import BusyError, Queue
from .settings import Settings

BODY_SECONDS = 60  # in which the body of a request must come
_JSON = "application/json"


class _RefusedError(Exception):
    """A request that does not come to the queue."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


def create_app(graph: Graph, settings: Settings) -> FastAPI:
    """
    `POST /` (or `/predict`) answers requests: JSON, or the file of a photograph with parameters in the query. `GET
    /health` (or `/`) tells that the model is loaded, `GET /metrics` is for Prometheus. A request that cannot be
    answered gets status 400, 408, 413, 415 or 503 and `{"error": ...}` in one line.
    """
    metrics = Metrics()
    queue = Queue(Answerer(MeasuredEngine(graph, metrics)), settings.max_batch, settings.max_waiting)
    metrics.waiting.set_function(lambda: len(queue))
    held = _Held(settings)
    metrics.bytes.set_function(lambda: held.bytes)
    model = {"sha256": graph.sha256, "precision": graph.precision, "commit": settings.commit or None}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(queue.close)

    app = FastAPI(title="PM-ViT", lifespan=lifespan, docs_url=None, redoc_url=None)  # those load from other servers

    @app.get("/")
    @app.get("/health")
    async def health() -> JSONResponse:
        status = {"status": "ok" if queue.is_alive else "failed", "model": model, "classes": len(graph.labels)}
        return JSONResponse(status, 200 if queue.is_alive else 503)

    @app.get("/metrics")
    async def metrics_page() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/")
    @app.post("/predict")
    async def predict(request: Request) -> Response:
        name = request.headers.get("x-request-id", "")
        name = name if re.fullmatch(r"[\w.-]{1,64}", name) else uuid.uuid4().hex
        log = RequestLog(metrics, name, request.url.path)
        headers, body = {"x-request-id": name}, b""
        try:
            is_json = _is_json(request)
            body = await held.read(request)
            log.received(len(body))
            answer = await asyncio.wrap_future(queue.put(body, is_json, _query(request)))
        except (ValueError, BusyError, _RefusedError) as error:
            status = error.status if isinstance(error, _RefusedError) else 503 if isinstance(error, BusyError) else 400
            log.end(status, str(error))
            headers |= {"retry-after": "1"} if status == 503 else {}
            return JSONResponse({"error": str(error)}, status, headers)
        except Exception as error:
            log.end(500, error=error)
            return JSONResponse({"error": f"internal error; the log has it as request {name}."}, 500, headers)
        finally:
            held.release(len(body))
        log.end(200)
        return Response(answer, media_type=_JSON, headers=headers)

    return app


class _Held:
    """The bodies of requests that are in memory, within the limits."""

    def __init__(self, settings: Settings):
        self._max_body, self._max_bytes = settings.max_body, settings.max_bytes
        self.bytes = 0

    def release(self, count: int) -> None:
        self.bytes -= count

    async def read(self, request: Request) -> bytes:
        """The body, which counts until it is released. Of one too large the rest is read, so that clients listen."""
        body, kept, size = bytearray(), True, 0
        refused = _RefusedError(413, f"the body has more than {self._max_body:,} bytes.")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if size > 4 * self._max_body:
                        raise refused
                    if kept and size > self._max_body:
                        kept = False
                    elif kept and self.bytes + len(part) > self._max_bytes:
                        kept, refused = (
                            False,
                            _RefusedError(503, "the requests that wait are too large, try again later."),
                        )
                    if kept:
                        body += part
                        self.bytes += len(part)
                    else:
                        self.bytes -= len(body)
                        body.clear()
            if not kept:
                raise refused
            return bytes(body)
        except BaseException as error:
            self.bytes -= len(body)
            if isinstance(error, ClientDisconnect):
                raise _RefusedError(499, "the client left.") from error
            if isinstance(error, TimeoutError):
                raise _RefusedError(408, f"the body did not come within {BODY_SECONDS} seconds.") from error
            raise


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON and kind not in ("", "application/octet-stream") and not kind.startswith("image/"):
        raise _RefusedError(415, f"expected {_JSON} or an image as content type, got {kind[:80]!r}.")
    return kind == _JSON


def _query(request: Request) -> dict[str, str | list[str]]:
    """The parameters in the address; one that is there several times is a list."""
    query = request.query_params
    return {name: found if len(found := query.getlist(name)) > 1 else found[0] for name in query}
