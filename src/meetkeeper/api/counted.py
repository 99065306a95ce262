"""Numbers of things as people read them."""


def counted(number: int, thing: str) -> str:
    """`0 frames`, `1 frame`, `1,200 frames`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
