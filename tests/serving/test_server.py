"""The published files as a server and as a handler, in processes that have neither this package nor torch."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.hub.endpoint import stage_endpoint
from modeling_pm_vit.hub.handler import _TorchEngine
from modeling_pm_vit.serving.answers import Answerer
from modeling_pm_vit.serving.graph import Graph
from modeling_pm_vit.serving.requests import MAX_BYTES
from tests.serving.photographs import bomb, encoded, text

pytest.importorskip("onnxscript")
pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

pytestmark = pytest.mark.slow  # an export, and processes

# As where they are not installed. A folder is imported under a name, as the Dockerfile names it.
ALONE = """
import sys
from types import ModuleType

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("modeling_pm_vit", "torch", "transformers"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
"""
SERVE = (
    ALONE
    + """
package = ModuleType("pm_vit")
package.__path__ = [sys.argv[1]]
sys.modules["pm_vit"] = package
from pm_vit.serving.__main__ import main
sys.exit(main(sys.argv[2:]))
"""
)
# As the public server behind handlers loads one.
HANDLE = (
    ALONE
    + """
import base64, importlib.util, json
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("handler.EndpointHandler", folder + "/handler.py")
sys.path.insert(0, folder)
handler = importlib.util.module_from_spec(spec)
spec.loader.exec_module(handler)
print(json.dumps(handler.EndpointHandler(folder)(json.load(sys.stdin))))
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vivid_model, export_once, make_processor):
    """A published repository with graphs."""
    folder = tmp_path_factory.mktemp("repository")
    vivid_model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    shutil.copytree(export_once(vivid_model) / "onnx", folder / "onnx")
    stage_endpoint(folder, with_graphs=True)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    """The answers of the model in torch."""
    return Answerer(_TorchEngine(str(folder)))


def start(folder, tmp_path, **settings) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"model": folder / "onnx", "host": "127.0.0.1", "port": port, "threads": 1} | settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PM_VIT_")}
    environment |= {f"PM_VIT_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"MALLOC_ARENA_MAX": "2"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, folder], stdout=log, stderr=log, env=environment, cwd=tmp_path
        )
    return process, f"http://127.0.0.1:{port}"


def call(address: str, body: bytes | None = None, kind: str = "", **headers) -> tuple[int, bytes]:
    request = urllib.request.Request(address, body, {"Content-Type": kind} | headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_until_ready(process, address, log) -> None:
    for _ in range(600):
        try:
            if call(f"{address}/health")[0] == 200:
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError("the server did not start")


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    """The address, and the file of the log."""
    place = tmp_path_factory.mktemp("server")
    process, address = start(folder, place, commit="c0ffee")
    try:
        wait_until_ready(process, address, place / "log")
        yield address, place / "log"
    finally:
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM)


PHOTOGRAPHS = [encoded(30, 20), encoded(17, 40, "JPEG"), encoded(64, 64, "WEBP")]
REQUESTS = [
    {"inputs": text(PHOTOGRAPHS[0])},
    {"inputs": [text(raw) for raw in PHOTOGRAPHS], "parameters": {"top_k": 5, "threshold": 0.45}},
    {"inputs": text(PHOTOGRAPHS[1]), "parameters": {"labels": ["elk", 0], "mask": "rle"}},
    {"inputs": text(PHOTOGRAPHS[2]), "parameters": {"mask": "none", "top_k": 2}},
]


def assert_agrees(found: list, expected: list) -> None:
    """The same classes; scores to 1e-3, masks to 1 % of the pixels: another resize and another runtime."""
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, list):
            assert_agrees(one, other)
            continue
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
        assert set(one) == set(other)
        if "mask" in one:
            assert np.mean(mask_of(one) != mask_of(other)) <= 0.01


def mask_of(answer: dict) -> np.ndarray:
    mask = answer["mask"]
    if isinstance(mask, str):
        import io

        return np.asarray(Image.open(io.BytesIO(base64.b64decode(mask)))) > 0
    values = np.repeat(np.arange(len(mask["counts"])) % 2, mask["counts"])
    return values.reshape(mask["size"], order="F") > 0


def test_server_and_handler_without_torch_give_the_answers_of_the_model(server, folder, expected):
    address, _ = server
    for request in REQUESTS:
        status, answer = call(address, json.dumps(request).encode(), "application/json")
        assert status == 200
        assert_agrees(json.loads(answer), expected(request))
    command = [sys.executable, "-c", HANDLE, str(folder)]
    done = subprocess.run(command, input=json.dumps(REQUESTS[1]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(call(address, json.dumps(REQUESTS[1]).encode(), "application/json")[1])


def test_photograph_with_parameters_in_the_address(server, expected):
    address, _ = server
    for kind in ("image/png", "application/octet-stream", "image/jpeg; name=x"):
        status, answer = call(f"{address}/predict?labels=elk&labels=0&mask=none", PHOTOGRAPHS[0], kind)
        assert status == 200
        assert_agrees(
            json.loads(answer),
            expected({"inputs": PHOTOGRAPHS[0], "parameters": {"labels": [3, 0], "mask": "none"}}),
        )


REFUSED = [
    (b"{", "application/json", 400, "the body is not JSON"),
    (b"hello", "image/png", 400, "not an image"),
    (b"", "image/png", 400, "not an image"),
    (bomb(5000), "image/png", 400, "5000 x 5000 pixels"),
    (json.dumps({"inputs": text(encoded()[:-400])}).encode(), "application/json", 400, "corrupt"),
    (json.dumps({"inputs": "A" * (MAX_BYTES * 3 // 2)}).encode(), "application/json", 400, "larger than"),
    (json.dumps({"inputs": [], "parameters": {}}).encode(), "application/json", 400, "1 to 32 photographs"),
    (bytes(33 * 2**20), "image/png", 413, "more than 33,554,432 bytes"),
    (b"hello", "text/csv", 415, "got 'text/csv'"),
]


@pytest.mark.parametrize("body, kind, status, message", REFUSED)
def test_refusals(server, body, kind, status, message):
    found, answer = call(server[0], body, kind)
    assert (found, list(json.loads(answer))) == (status, ["error"])
    assert message in json.loads(answer)["error"]
    assert call(server[0], PHOTOGRAPHS[0], "image/png")[0] == 200


def metric(page: bytes, name: str) -> float:
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page.decode(), re.MULTILINE)[1])


def test_health_metrics_and_log(server, folder):
    address, log = server
    before = call(f"{address}/metrics")[1]
    call(address, PHOTOGRAPHS[0], "image/png", **{"X-Request-Id": "my-request"})
    call(address, PHOTOGRAPHS[0], "image/png", **{"X-Request-Id": 'in"jected'})
    status, health = call(f"{address}/health")
    description = json.loads((folder / "onnx" / "model.json").read_text())
    model = {"sha256": description["agreement"]["fp32"]["sha256"], "precision": "fp32", "commit": "c0ffee"}
    assert (status, json.loads(health)) == (200, {"status": "ok", "model": model, "classes": 5})
    after = call(f"{address}/metrics")[1]
    for name in ('pm_vit_requests_total{status="200"}', "pm_vit_model_seconds_count", "pm_vit_batch_photographs_sum"):
        assert metric(after, name) == metric(before, name) + 2
    assert metric(after, "pm_vit_waiting_requests") == metric(after, "pm_vit_waiting_bytes") == 0
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    (entry,) = [entry for entry in entries if entry.get("request_id") == "my-request"]
    assert entry["status"] == 200 and entry["bytes"] == len(PHOTOGRAPHS[0]) and entry["milliseconds"] > 0
    assert 'in"jected' not in log.read_text()
    assert max(map(len, log.read_text().splitlines())) < 1000  # no image, no base64


def test_sixteen_clients_at_once(server):
    """No request is lost, equal requests get equal answers, some are computed together, and memory does not grow."""
    address, _ = server
    bodies = [(json.dumps(request).encode(), "application/json", 200) for request in REQUESTS]
    bodies += [(body, kind, status) for body, kind, status, _ in REFUSED[:5] if status == 400]
    alone = [call(address, body, kind) for body, kind, _ in bodies]

    def client(number: int) -> None:
        for turn in range(8):
            chosen = (3 * number + turn) % len(bodies)
            body, kind, status = bodies[chosen]
            found = call(address, body, kind)
            assert found[0] == status
            if status == 200:
                assert_agrees(json.loads(found[1]), json.loads(alone[chosen][1]))
            else:
                assert found == alone[chosen]

    resident = []
    with ThreadPoolExecutor(16) as clients:
        for _ in range(4):
            list(clients.map(client, range(16)))
            resident.append(metric(call(f"{address}/metrics")[1], "process_resident_memory_bytes") / 2**20)
    page = call(f"{address}/metrics")[1]
    print(f"512 requests; resident MiB after each fourth: {resident}")
    assert metric(page, 'pm_vit_batch_photographs_bucket{le="1.0"}') < metric(page, "pm_vit_batch_photographs_count")
    assert resident[-1] < resident[0] + 40


def test_what_waits_is_answered_when_the_server_is_stopped(folder, tmp_path):
    process, address = start(folder, tmp_path, max_batch=1)
    wait_until_ready(process, address, tmp_path / "log")
    body = json.dumps({"inputs": [text(encoded(300, 300))] * 8, "parameters": {"top_k": 4}}).encode()
    sent: list[Future] = []
    with ThreadPoolExecutor(8) as clients:
        while metric(call(f"{address}/metrics")[1], "pm_vit_waiting_requests") < 3:
            left = 8 - sum(not one.done() for one in sent)  # however fast the server is, it always has eight
            sent += [clients.submit(call, address, body, "application/json") for _ in range(left)]
        process.terminate()
        answers = [one.exception() or one.result()[0] for one in sent]
    # What had not arrived yet is refused by the system; all that waited is answered.
    assert answers.count(200) >= 3 and all(a == 200 or isinstance(a, OSError) for a in answers)
    assert process.wait(30) in (0, -signal.SIGTERM)


def test_too_many_requests_are_refused_and_can_be_repeated(folder, tmp_path):
    process, address = start(folder, tmp_path, max_batch=1, max_waiting=2, max_bytes=100_000)
    try:
        wait_until_ready(process, address, tmp_path / "log")
        assert call(address, bytes(200_000), "image/png")[0] == 503
        with ThreadPoolExecutor(8) as clients:
            found = list(clients.map(lambda _: call(address, encoded(100, 100), "image/png"), range(24)))
        assert {status for status, _ in found} == {200, 503}
        assert call(address, PHOTOGRAPHS[0], "image/png")[0] == 200
        assert metric(call(f"{address}/metrics")[1], "pm_vit_waiting_bytes") == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sha256": "0" * 64}, "the pinned hash states 000"),
        ({"precision": "int4"}, "has no graph in int4, only in fp32, fp16, int8"),
        ({"model": "nowhere"}, "nowhere has no onnx/model.json"),
        ({"batch": "x"}, "PM_VIT_BATCH is no setting"),
    ],
)
def test_server_does_not_start_with_another_model_or_unknown_settings(folder, tmp_path, settings, message):
    process, _ = start(folder, tmp_path, **settings)
    assert process.wait(60) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert message in json.loads(line)["message"]


def test_a_graph_that_was_changed_is_not_opened(folder, tmp_path):
    (tmp_path / "model.json").write_bytes((folder / "onnx" / "model.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes((folder / "onnx" / "model.onnx").read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"model\.json states"):
        Graph(tmp_path)


@pytest.mark.parametrize("size", [(32, 32), (41, 57), (200, 300)])
def test_inputs_are_those_of_the_image_processor(folder, make_processor, size):
    """Exact in pixels with Pillow; to one of 255 levels where the processor resizes with torchvision."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    found = Graph(folder / "onnx").prepare(image)
    processor = make_processor()
    pixels = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), np.float64) / 255
    exact = (pixels - processor.image_mean) / processor.image_std
    assert np.allclose(found, exact.transpose(2, 0, 1), atol=1e-6)
    level = 1 / 255 / min(processor.image_std)
    assert np.abs(found - processor(image, return_tensors="np").pixel_values[0]).max() < level + 1e-6
