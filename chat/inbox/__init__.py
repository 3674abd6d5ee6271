"""The agents' inbox: who waits for a person, and the conversation that one answers, as pages of the admin."""
