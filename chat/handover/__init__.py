"""The rules of a conversation that a person takes over, by functions that each page and endpoint calls."""
