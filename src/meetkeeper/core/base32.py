"""Numbers as base32 text, two characters at a time: ids and aliases are made for every booking."""

RFC_4648 = "abcdefghijklmnopqrstuvwxyz234567"
"""The alphabet of RFC 4648 §6 in lower case."""
PLAIN = "abcdefghjkmnpqrstvwxyz0123456789"
"""No i, l, o, u: nobody has to ask which letter it was, and no words form by accident."""


class Base32:
    """An encoder for one alphabet."""

    __slots__ = ("_pairs",)

    def __init__(self, alphabet: str) -> None:
        self._pairs = tuple(high + low for high in alphabet for low in alphabet)

    def text(self, number: int, chars: int) -> str:
        """The lowest 5 × `chars` bits of a number, most significant first; `chars` is even."""
        pairs = self._pairs
        return "".join([pairs[number >> shift & 1023] for shift in range(5 * chars - 10, -1, -10)])
