"""An OpenAI-compatible address that stands in on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(status: int = 200, body: object = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-compatible address that repeats the last message in capitals, or answers as ``body``
    says, and what it was asked.
    """
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**question, "path": self.path, "key": self.headers.get("Authorization")})
            if callable(body):
                status_now, answer = body(question)
                self.send_response(status_now)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())
                return
            said = {
                "message": {"content": question["messages"][-1]["content"].upper()},
                "finish_reason": "stop",
            }
            answer = (
                body if body is not None else {"choices": [said], "usage": {"completion_tokens": 3}}
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def do_GET(self) -> None:
            served = {"data": [{"id": "first"}, {"id": "second"}, {"name": "none"}, 3]}
            self.send_response(200 if self.path.endswith("/models") else 404)
            self.end_headers()
            self.wfile.write(json.dumps(served).encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
