"""A site that embeds the chat, on an origin of its own: to try the widget, and for its tests."""
