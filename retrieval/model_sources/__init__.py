"""Rows of a team's own models as documents.

`declaration` is what a definition says; `reading` turns objects into documents; `changes` makes events of saves;
`handler` processes these events; `sync` compares a whole source with its documents, in `batches`; `links` leads back
to the objects.
"""
