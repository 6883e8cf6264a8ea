"""A local substitute for the server of inference endpoints: loads handler.py of a folder and serves on the loopback.

python endpoint_server.py FOLDER: prints its port. Like the real server, it passes an image body as bytes and a JSON
body as a dictionary, and answers any exception with status 400 and {"error": ...}.
"""

import importlib.util
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet

    def do_GET(self):
        status = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
        self.answer(200, {"kilobytes": int(status)})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            is_json = self.headers["Content-Type"] == "application/json"
            self.answer(200, self.server.handler(json.loads(body) if is_json else body))
        except Exception as error:
            self.answer(400, {"error": str(error)})

    def answer(self, status: int, content):
        content = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    folder = sys.argv[1]
    spec = importlib.util.spec_from_file_location("handler", Path(folder) / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = Server(("127.0.0.1", 0), Endpoint)
    server.handler = module.EndpointHandler(folder)
    print(server.server_port, flush=True)
    server.serve_forever()
