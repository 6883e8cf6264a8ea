"""A headless Chromium for tests, controlled with the DevTools protocol."""

import base64
import json
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"]
_FLAGS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # only the loopback
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]
# A GPU that SwiftShader computes on the CPU, which Chromium brings along.
_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]


class Page:
    """One open page."""

    def __init__(self, socket):
        self._socket, self._number = socket, 0
        self.errors: list[str] = []  # uncaught exceptions and console errors
        self.call("Runtime.enable")

    def call(self, method: str, **parameters) -> dict:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"])[:500])
            if message.get("method") == "Runtime.consoleAPICalled" and message["params"]["type"] == "error":
                self.errors.append(json.dumps(message["params"]["args"])[:500])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script: str):
        """The value of an expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60):
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"not true within {seconds} s: {script}; errors: {self.errors}"
            time.sleep(0.05)
        return value

    def move_to(self, selector: str, across: float, down: float, press: bool = False) -> None:
        """Move the pointer to a place in an element, given in fractions of its size."""
        place = self._place(selector, across, down)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased") if press else ():
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def _place(self, selector: str, across: float, down: float) -> dict[str, float]:
        box = f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()"
        box = self.run(f"(document.querySelector({selector!r}).scrollIntoView({{block: 'center'}}), {box})")
        return {"x": box["x"] + across * box["width"], "y": box["y"] + down * box["height"]}

    def tap(self, selector: str, across: float, down: float) -> None:
        """Tap with a finger at a place in an element, given in fractions of its size."""
        x, y = self._place(selector, across, down).values()
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str) -> None:
        """Press and release a key, by its name in the DOM."""
        codes = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def be_a_phone(self, width: int = 360, height: int = 740) -> None:
        """Emulate a telephone: its size, its pixels, and fingers in place of a mouse."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True)
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def open_page(address: str, width: int = 1000, height: int = 700, gpu: bool = False):
    """Open an address of the loopback as a [`Page`]; with `gpu`, in a browser that may have WebGPU."""
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory(prefix="pm-vit-browser-", ignore_cleanup_errors=True) as profile:
        flags = [*_FLAGS, *(_GPU if gpu else ["--disable-gpu"])]
        command = [CHROMIUM, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}", address]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            for line in process.stderr:
                if "DevTools listening on" in line:
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()
            port = line.split("127.0.0.1:")[1].split("/")[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                target = next(page for page in json.load(answer) if page["type"] == "page")
            with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                page.wait_for("location.protocol === 'http:' && document.readyState === 'complete'")
                yield page
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def file_server(folder: Path, headers: dict[str, str] | None = None):
    """Serve a folder, with headers in all answers; gives the address."""

    class Quiet(SimpleHTTPRequestHandler):
        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
