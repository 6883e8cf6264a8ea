"""Starts the server: see `Settings` in `settings.py`.

PM_VIT_MODEL=runs/demo-onnx python -m modeling_pm_vit.serving

With `--check` it opens the model and ends.
"""

import sys
from dataclasses import asdict

import uvicorn

from .app import create_app
from .graph import Graph
from .monitoring import LOG, log_as_json
from .settings import read_settings, usable_cores


def main(arguments: list[str]) -> int:
    log_as_json()
    try:
        settings = read_settings()
        threads = settings.threads or usable_cores()
        graph = Graph(settings.model, settings.precision, threads, settings.sha256 or None)
    except (ValueError, FileNotFoundError) as error:
        LOG.error(str(error))
        return 2
    fields = asdict(settings) | {"threads": threads, "sha256": graph.sha256}
    LOG.info("the model is loaded", extra={"fields": fields})
    if "--check" in arguments:
        return 0
    uvicorn.run(
        create_app(graph, settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        limit_concurrency=4 * settings.max_waiting,  # connections; the queue refuses requests before
        timeout_graceful_shutdown=30,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
