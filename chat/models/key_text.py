"""The text of an API key: a prefix that says what it is for, 256 random bits, and a checksum.

`fabra_sec_` or `fabra_pub_`, 43 letters and digits, and the CRC-32 of all that in six more, as in GitHub's tokens:
a secret scanner finds keys by PATTERN, and tells a real one from a made-up one without asking anybody.
"""

import secrets
import string
import zlib

PATTERN = r"\bfabra_(?:sec|pub)_[0-9A-Za-z]{49}\b"
"""What a secret scanner looks for; docs/access.md has it for secret keys alone, since public ones are public."""

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS = 43  # 62**43 > 2**256
_CHECKSUM_CHARS = 6  # 62**6 > 2**32
_PREFIX_CHARS = len("fabra_sec_")


def new_key(prefix: str) -> str:
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return body + checksum_of(body)


def has_checksum(key: str) -> bool:
    """Return whether the key ends with its checksum: no key that was cut off or mistyped does."""
    return len(key) == _PREFIX_CHARS + _RANDOM_CHARS + _CHECKSUM_CHARS and key.endswith(
        checksum_of(key[:-_CHECKSUM_CHARS])
    )


def checksum_of(body: str) -> str:
    """Return the CRC-32 of a key's prefix and random part, in base 62."""
    number, digits = zlib.crc32(body.encode(errors="replace")), ""
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
