"""The support chatbot: conversations, answers, who may ask, the page, the API, and the people behind it."""
