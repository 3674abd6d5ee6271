"""The REST API, by resource; what they do is done by the rest of the app."""
