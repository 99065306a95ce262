"""Many items → portions that fit into one page: whoever takes a page keeps it as one decision, in one frame. Pure."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

PORTION_BYTES = 256 * 1024
"""Text of about this size makes a page; a single larger item is a page by itself."""

T = TypeVar("T")


def portions(things: Iterable[tuple[T, int]], count_max: int) -> Iterator[list[T]]:
    """Lists of at most `count_max` things and about `PORTION_BYTES` bytes, in order; each thing comes with its size."""
    portion: list[T] = []
    weight = 0
    for thing, size in things:
        if portion and (len(portion) >= count_max or weight + size > PORTION_BYTES):
            yield portion
            portion, weight = [], 0
        portion.append(thing)
        weight += size
    if portion:
        yield portion
