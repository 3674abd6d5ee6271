"""One client per model server and event loop, whose connections stay open between two answers."""

import ssl
from functools import cache

import httpx2
import openai

from chat.providers.configured import ModelConfig
from common.per_loop import PerLoop

_KEPT_OPEN_S = 60.0
"""httpx closes an idle connection after 5 s, so that most answers of a quiet bot would begin with a TLS handshake."""

_Clients = dict[tuple[str, str, float, float], openai.AsyncOpenAI]


async def client_of(config: ModelConfig) -> openai.AsyncOpenAI:
    """Return the running loop's client of a model's server; it does not retry, which `chat.providers.chain` does."""
    clients = await _clients.get()
    known = (config.base_url, config.key, config.timeout_s, config.connect_timeout_s)
    if known not in clients:
        clients[known] = _make(config)
    return clients[known]


def _make(config: ModelConfig) -> openai.AsyncOpenAI:
    timeout = httpx2.Timeout(config.timeout_s, connect=min(config.connect_timeout_s, config.timeout_s))
    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=_KEPT_OPEN_S)
    return openai.AsyncOpenAI(
        api_key=config.key,
        base_url=config.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, limits=limits, verify=_trusted()),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted, which take 20 ms to read: once for a process, not for each loop."""
    return httpx2.create_ssl_context()


async def _close(clients: _Clients) -> None:
    for client in clients.values():
        await client.close()


_clients: PerLoop[_Clients] = PerLoop(dict, _close)
