"""The hasher of passwords in tests."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """Hash with few iterations: a test waits a quarter of a second less, and a started server takes the hash."""

    iterations = 1000
