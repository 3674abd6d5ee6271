"""A real HTTP server that speaks the OpenAI protocol, and fails as it is told."""

import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "Click **Forgot password?** on the sign-in page [1]."


class ModelServer:
    """Answers `/v1/chat/completions` and `/v1/embeddings` on loopback; `behaviour` names what it does next."""

    def __init__(self) -> None:
        self.reset()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                listed = [{"id": name, "object": "model", **about} for name, about in server.models.items()]
                server._send(self, 200, {"object": "list", "data": listed})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(body)
                server.connections.add(self.client_address)
                server.keys.append(self.headers.get("Authorization", ""))
                try:
                    server._respond(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    server.cut_off.set()

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        """Forget what was asked, and behave as a new one."""
        self.behaviour = "answer"
        self.next: list[str] = []
        """Behaviours of the next requests, before that of all others."""
        self.error_headers: dict[str, str] = {}
        self.error_code = "x"
        self.connections: set[Any] = set()
        """The addresses that requests came from: one for each connection."""
        self.keys: list[str] = []
        self.models: dict[str, dict[str, Any]] = {}
        """What `/v1/models` tells, by name."""
        self.refused: tuple[str, ...] = ()
        """Parameters that it answers with 400."""
        self.text = TEXT
        self.delay_s = 0.0
        """How long each answer, and each piece of a stream, takes; what waits already follows a change."""
        self.scripts: dict[str, tuple[str, str]] = {}
        """Behaviour and text for requests whose instructions begin with the key; others are answered as usual."""
        self.requests: list[dict[str, Any]] = []
        self.cut_off = threading.Event()
        """Set when a client went away before its answer was complete."""

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _respond(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        behaviour, text = self._script_of(body)
        if refused := next((name for name in self.refused if name in body), ""):
            self._send(http, 400, {"error": {"message": f"Unsupported parameter: '{refused}'."}})
        elif behaviour.isdigit():
            self._send(
                http, int(behaviour), {"error": {"message": "secret detail", "type": "x", "code": self.error_code}}
            )
        elif behaviour == "nonsense":
            self._send(http, 200, {"object": "chat.completion", "choices": []})
        elif behaviour == "think" and body.get("stream"):
            self._stream(http, behaviour, text="")
        elif behaviour == "think":
            self._send(http, 200, self._completion("", behaviour))
        elif behaviour == "garble":
            self._send(http, 200, b"{not JSON")
        elif behaviour == "hang":
            self._wait_for_client(http, 30)
        elif behaviour == "drop":
            http.close_connection = True
            http.connection.close()
        elif http.path.endswith("/embeddings"):
            self._wait_for_client(http)
            self._send(http, 200, self._embeddings(body))
        elif body.get("stream"):
            self._stream(http, behaviour)
        else:
            self._wait_for_client(http)
            self._send(http, 200, self._completion(text, behaviour))

    def _script_of(self, body: dict[str, Any]) -> tuple[str, str]:
        instructions = body["messages"][0]["content"] if body.get("messages") else ""
        found = next((script for start, script in self.scripts.items() if instructions.startswith(start)), None)
        behaviour = self.next.pop(0) if self.next else self.behaviour
        return found or (behaviour, self.text)

    def _wait_for_client(self, http: BaseHTTPRequestHandler, seconds: float | None = None) -> None:
        """Wait, by default for `delay_s`, and raise as soon as the client has closed its connection."""
        http.connection.settimeout(0.05)
        began = time.monotonic()
        while time.monotonic() - began < (self.delay_s if seconds is None else seconds):
            try:
                if http.connection.recv(1) == b"":
                    raise BrokenPipeError
            except TimeoutError:
                continue
        http.connection.settimeout(None)

    def embedding_model(self, dimension: int) -> str:
        """Return the name of an embedding model of that dimension; no other server's has it."""
        return f"words-{dimension}-{self._http.server_port}"

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        dimension = int(body["model"].split("-")[1])
        rows = [
            {"object": "embedding", "index": index, "embedding": words_vector(text, dimension)}
            for index, text in enumerate(body["input"])
        ]
        return {
            "object": "list",
            "data": rows,
            "model": body["model"],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }

    def _completion(self, text: str, behaviour: str) -> dict[str, Any]:
        reason = "length" if behaviour in ("cut off", "think") else "stop"
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        return {
            "id": "c1", "object": "chat.completion", "created": 1, "model": "stub-model",
            "choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}],
            **({} if behaviour == "no usage" else {"usage": usage}),
        }  # fmt: skip

    def _stream(self, http: BaseHTTPRequestHandler, behaviour: str, text: str | None = None) -> None:
        http.send_response(200)
        http.send_header("Content-Type", "text/event-stream")
        http.send_header("Connection", "close")
        http.end_headers()
        text = self.text if text is None else text
        pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
        for number, piece in enumerate(pieces):
            if behaviour == "garble mid-stream" and number == 3:
                http.wfile.write(b"data: {not JSON\n\n")
                return
            if behaviour == "break" and number == 3:
                http.connection.close()
                return
            self._chunk(http, [{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            self._wait_for_client(http)
        self._chunk(http, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        self._chunk(http, [], {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120})
        http.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, http: BaseHTTPRequestHandler, choices: list[Any], usage: Any = None) -> None:
        data = {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "stub-model",
            "choices": choices,
            "usage": usage,
        }
        http.wfile.write(f"data: {json.dumps(data)}\n\n".encode())

    def _send(self, http: BaseHTTPRequestHandler, status: int, body: dict[str, Any] | bytes) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        http.send_response(status)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(data)))
        for name, value in self.error_headers.items() if status >= 400 else ():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(data)


def words_vector(text: str, dimension: int) -> list[float]:
    """Return a vector that tells texts apart by their words: each adds 1 to a position that its hash chooses."""
    vector = [0.0] * dimension
    for word in text.lower().split():
        vector[zlib.crc32(word.encode()) % dimension] += 1.0
    return vector if any(vector) else [1.0] * dimension
