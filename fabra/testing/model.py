"""A server with OpenAI's API that answers as it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ToldModel:
    """Answers each request for a completion with `text`, whole or as a stream, and keeps the requests' bodies."""

    def __init__(self) -> None:
        self.text = "Yes."
        self.requests: list[dict[str, Any]] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.requests.append(body)
                is_streamed = bool(body.get("stream"))
                content = model._stream() if is_streamed else json.dumps(model._completion("message"))
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream" if is_streamed else "application/json")
                self.send_header("Content-Length", str(len(content.encode())))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _completion(self, part: str) -> dict[str, Any]:
        kind = "chat.completion" if part == "message" else "chat.completion.chunk"
        message = {"role": "assistant", "content": self.text}
        return {
            "id": "told", "object": kind, "created": 1, "model": "told",
            "choices": [{"index": 0, "finish_reason": "stop", part: message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }  # fmt: skip

    def _stream(self) -> str:
        return f"data: {json.dumps(self._completion('delta'))}\n\ndata: [DONE]\n\n"
