"""The phrases that an operator adds for a language: by them the bot knows who asks for a person, greets or thanks."""
