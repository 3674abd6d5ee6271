"""The demo site's server: a page with the widget under a strict policy, a sign-in without passwords, and its tokens.

It stands for a site that has nothing of this project but a public key and its signing secret, so it imports nothing of
it. Its sign-in asks for no password: never serve it to anybody else.
"""

import html
import json
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from time import time
from typing import Any
from urllib.parse import parse_qs

import jwt

FILES = Path(__file__).parent / "files"
_COOKIE = "demo_user"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST_BYTES = 1000


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the site knows of the bot, and whom one can be on it."""

    bot_url: str
    """Without a slash at its end."""
    key: str
    secret: str
    users: dict[str, str]
    """Names by user id."""
    token_seconds: float = 300

    @property
    def policy(self) -> str:
        return (
            f"default-src 'none'; script-src 'self' {self.bot_url}; frame-src {self.bot_url}; style-src 'self'; "
            "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'"
        )

    def token_for(self, user_id: str) -> str:
        claims = {"sub": user_id, "aud": self.key, "exp": time() + self.token_seconds, "iat": time()}
        return jwt.encode(claims | {"traits": {"name": self.users[user_id]}}, self.secret, algorithm="HS256")


def make_server(demo: Demo, port: int = 0, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Return a server that is not started yet; port 0 takes a free one."""
    return ThreadingHTTPServer((host, port), type("DemoHandler", (_Handler,), {"demo": demo}))


class _Handler(BaseHTTPRequestHandler):
    demo: Demo
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(self._page(), "text/html; charset=utf-8")
        elif path == "/token":
            user = self._user()
            token = self.demo.token_for(user) if user else None
            self._send(json.dumps({"token": token}), "application/json")
        elif path.startswith("/files/") and (found := FILES / Path(path).name).suffix in _TYPES and found.is_file():
            self._send(found.read_text(), _TYPES[found.suffix])
        else:
            self._send("Not found", "text/plain", HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)
        form = parse_qs(self.rfile.read(length).decode())
        user = form.get("user", [""])[0]
        kept = user if user in self.demo.users else "; Max-Age=0"
        self._send("", "text/plain", HTTPStatus.SEE_OTHER, {
            "Location": "/", "Set-Cookie": f"{_COOKIE}={kept}; Path=/; HttpOnly; SameSite=Lax",
        })  # fmt: skip

    def _user(self) -> str | None:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(_COOKIE)
        return cookie.value if cookie and cookie.value in self.demo.users else None

    def _page(self) -> str:
        user = self._user()
        options = "".join(
            f'<option value="{html.escape(user_id)}">{html.escape(name)}</option>'
            for user_id, name in self.demo.users.items()
        )
        signed_in = Template((FILES / "signed_in.html").read_text())
        signed_out = Template((FILES / "signed_out.html").read_text())
        account = signed_in if user else signed_out
        return Template((FILES / "page.html").read_text()).substitute(
            account=account.substitute(name=html.escape(self.demo.users.get(user or "", "")), options=options),
            bot=html.escape(self.demo.bot_url),
            key=html.escape(self.demo.key),
        )

    def _send(
        self, body: str, content_type: str, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", self.demo.policy)
        self.send_header("Cache-Control", "no-store")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Write no log."""
