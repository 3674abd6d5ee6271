"""For the Django site that embeds the chat: the widget's tag, and a view that signs its user.

It needs Django and PyJWT, and no other part of this project: the bot may run anywhere.
"""
