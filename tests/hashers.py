"""The hasher of passwords in tests."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """Hash with few iterations, for which a test waits a quarter of a second less; a started server takes its hashes."""

    iterations = 1000
