"""The chat page: its view, its texts, and the WebSocket behind it."""
