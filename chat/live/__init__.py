"""What open pages see at once: messages, states and typing, by Channels' layer over Redis."""
