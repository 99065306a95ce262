"""Operators' passwords: argon2id, and nothing else here, so that a command may make a hash without loading a server."""

import argon2

NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5bm9ib2R5bm9ib2R5$2zvHGIwwEwmgCTEHbBqbSx8EZDwm8qK8JrXgpWH4lPs"
"""A hash no password has: a stranger's name takes as long to refuse as an operator's."""
_hasher = argon2.PasswordHasher()


def hash_password(password: str) -> str:
    """The hash for config.access.operators."""
    return _hasher.hash(password)


def is_password(password_hash: str, password: str) -> bool:
    """True when the hash was made from this password. Takes about a tenth of a second and 64 MiB."""
    try:
        return _hasher.verify(password_hash, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
