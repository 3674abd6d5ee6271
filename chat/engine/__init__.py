"""One answer, from the message to what is stored: the engine and its steps, which call the rest of the app."""
