"""How dates and times are written in each language, beside Django's own formats."""
