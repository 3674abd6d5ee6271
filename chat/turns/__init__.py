"""What a turn of a conversation is: question, thread, lease, context, costs, answer, as the engine passes them on."""
