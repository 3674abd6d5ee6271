"""Many documents in one request, as lines of JSON: read, applied and answered as they come, in bounded memory."""
