"""The front door: what definitions and scripts import, and nothing else.

Imported by a plain script, it sets Django up against the running stack.
"""

from fabra.standalone import ensure_django

ensure_django()
