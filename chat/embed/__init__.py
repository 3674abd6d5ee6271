"""The chat on other sites: the widget's script, the page in its frame, its sessions and its WebSocket."""
