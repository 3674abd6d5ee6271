"""What the readers find in a file that a test makes."""

from typing import Any

from retrieval.readers import FetchedFile, Options, ReadDocument, ReadWarning, Unreadable, read


def read_all(
    path: str, content: str | bytes, *, content_type: str = "", **options: Any
) -> tuple[list[ReadDocument], list[ReadWarning], str]:
    """Return the documents of a file, the warnings, and the reason if it is not readable to its end."""
    raw = content.encode() if isinstance(content, str) else content
    file = FetchedFile(path=path, content=raw, content_type=content_type)
    documents: list[ReadDocument] = []
    warnings: list[ReadWarning] = []
    try:
        for item in read(file, Options(**options)):
            if isinstance(item, ReadWarning):
                warnings.append(item)
            else:
                documents.append(item)
    except Unreadable as error:
        return documents, warnings, str(error)
    return documents, warnings, ""
