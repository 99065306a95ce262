"""Patterns that people may write into the configuration and that never take long, whatever text they meet.

A small part of regular expressions: characters, classes, groups, alternatives, repetitions of single characters. What
makes matching explode is refused (references back, looking ahead or behind, repeated groups), and a repetition takes
all it can and gives nothing back (a possessive quantifier). A pattern is tried at the beginning of a word alone, so
the work is the number of its ways through (at most `WAYS_MAX`) times the length of the text.
"""

import re

from msgspec import Struct

PATTERN_CHARS_MAX = 500
WAYS_MAX = 64
"""Alternatives and options multiply; more ways than this through one pattern are refused."""
_TIMES = re.compile(r"\{(\d{1,3})(,(\d{0,3}))?\}")
_NAME = re.compile(r"\?P<[a-z_][a-z0-9_]{0,30}>")
_ESCAPES = frozenset("dDwWsStnbB")


class BadPattern(ValueError):
    """The pattern is refused. The message is a sentence for people."""


class _Part(Struct, frozen=True):
    text: str
    ways: int


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, case ignored, ready for `match`. Raises `BadPattern` for one that might take long or is none."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise BadPattern(f"A pattern has at most {PATTERN_CHARS_MAX} characters.")
    reader = _Reader(pattern)
    whole = reader.alternatives()
    if reader.at < len(pattern):
        raise BadPattern(f"There is a closing bracket too many at character {reader.at + 1}.")
    try:
        return re.compile(whole.text, re.IGNORECASE | re.ASCII)
    except re.error as wrong:
        raise BadPattern(f"It is no pattern: {wrong}.") from None


class _Reader:
    """Reads a pattern from the left, and writes it again with possessive repetitions."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternatives(self) -> _Part:
        """Sequences between bars, up to a closing bracket or the end."""
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return _Part("|".join(part.text for part in parts), self._ways(sum(part.ways for part in parts)))

    def _sequence(self) -> _Part:
        texts: list[str] = []
        ways = 1
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            part = self._piece()
            texts.append(part.text)
            ways = self._ways(ways * part.ways)
        return _Part("".join(texts), ways)

    def _piece(self) -> _Part:
        char = self.pattern[self.at]
        if char == "(":
            return self._group()
        atom = self._atom(char)
        times = self._repetition()
        if times and atom in ("\\b", "\\B"):
            raise BadPattern(f"There is nothing to repeat before character {self.at}.")
        return _Part(f"{atom}{times}{'+' if times else ''}", 1)

    def _group(self) -> _Part:
        self.at += 1
        head = ""
        if self.pattern.startswith("?", self.at):
            name = _NAME.match(self.pattern, self.at)
            head = "?:" if self.pattern.startswith("?:", self.at) else "" if name is None else name[0]
            if not head:
                raise BadPattern(
                    "A group is (…), (?:…) or (?P<name>…); looking ahead, behind or back is refused."
                )
            self.at += len(head)
        inside = self.alternatives()
        if not self._take(")"):
            raise BadPattern("A bracket is not closed.")
        if self._take("?"):
            return _Part(f"({head}{inside.text})?", self._ways(inside.ways + 1))
        if self._repetition():
            raise BadPattern(
                "A group can't be repeated: repeat single characters or classes, or write it out."
            )
        return _Part(f"({head}{inside.text})", inside.ways)

    def _atom(self, char: str) -> str:
        if char == "[":
            return self._class()
        self.at += 1
        if char == "\\":
            return self._escape()
        if char in "*+?{":
            raise BadPattern(f"There is nothing to repeat before character {self.at}.")
        if char in "^$":
            raise BadPattern("Leave out ^ and $: a pattern always begins where a word begins.")
        return char if char == "." else re.escape(char)

    def _escape(self) -> str:
        if self.at >= len(self.pattern):
            raise BadPattern("It ends with a backslash.")
        char = self.pattern[self.at]
        self.at += 1
        if char.isalnum() and char not in _ESCAPES:
            raise BadPattern(
                f"\\{char} is refused; known are " + ", ".join(f"\\{one}" for one in sorted(_ESCAPES))
            )
        return f"\\{char}" if char.isalnum() else re.escape(char)

    def _class(self) -> str:
        start = self.at
        self.at += 1
        self._take("^")
        self._take("]")
        while not self._take("]"):
            if self.at >= len(self.pattern):
                raise BadPattern("A class [ is not closed.")
            if self.pattern.startswith("[", self.at):
                raise BadPattern("Write \\[ for a bracket inside a class.")
            if self._take("\\"):
                self._escape()
            else:
                self.at += 1
        text = self.pattern[start : self.at]
        if any(two in text for two in ("--", "&&", "~~", "||")):
            raise BadPattern("A class can't hold --, &&, ~~ or ||.")
        return text

    def _repetition(self) -> str:
        """The repetition that stands here; "" for none. A second one, which would change its meaning, is refused."""
        if self.at < len(self.pattern) and self.pattern[self.at] in "*+?":
            times = self.pattern[self.at]
            self.at += 1
        else:
            counted = _TIMES.match(self.pattern, self.at)
            if counted is None:
                return ""
            times = counted[0]
            self.at = counted.end()
        if self.at < len(self.pattern) and self.pattern[self.at] in "*+?":
            raise BadPattern("A repetition of a repetition is refused, and so is a reluctant one.")
        return times

    def _take(self, char: str) -> bool:
        if self.pattern.startswith(char, self.at):
            self.at += 1
            return True
        return False

    @staticmethod
    def _ways(ways: int) -> int:
        if ways > WAYS_MAX:
            raise BadPattern("It has too many alternatives; make several rules of it.")
        return ways
