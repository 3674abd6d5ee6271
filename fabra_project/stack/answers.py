"""Exchange the first bytes of a server's protocol with it.

A listening port does not show that a server is ready: both servers listen while they still recover.
"""

import socket


def exchange(port: int, request: bytes) -> bytes:
    """Send `request` to the server on this loopback port and return the first bytes of its answer; b"" without one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request)
            return connection.recv(256)
    except OSError:
        return b""
