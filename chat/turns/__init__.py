"""A turn of a conversation: its order, its context, the model's run, and the rows that it leaves."""
