"""The front door: what definitions and scripts import, and the settings of the bot.

A module of it that a plain script imports sets Django up against the running stack; `fabra.settings` does not, since a
project's settings import it.
"""
