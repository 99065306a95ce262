"""How often somebody may try: a bucket per key that fills up again with time, in bounded memory."""

from collections import OrderedDict

KEYS_MAX = 20_000
"""Keys remembered; the one untouched longest is forgotten first."""


class Attempts:
    """Counts tries per key. `burst` tries at once, refilled evenly over `per_s` seconds."""

    def __init__(self, per_s: float = 60.0) -> None:
        self._per_s = per_s
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, key: object, burst: int, now_s: float) -> float | None:
        """One try. None when it may go on, else the seconds until the next one may."""
        left, at_s = self._left.pop(key, (float(burst), now_s))
        left = min(float(burst), left + max(0.0, now_s - at_s) * burst / self._per_s)
        allowed = left >= 1.0
        self._left[key] = (left - 1.0 if allowed else left, now_s)
        if len(self._left) > KEYS_MAX:
            self._left.popitem(last=False)
        return None if allowed else (1.0 - left) * self._per_s / burst

    def give_back(self, key: object) -> None:
        """One try was right after all: it does not count."""
        known = self._left.get(key)
        if known is not None:
            self._left[key] = (known[0] + 1.0, known[1])

    def forgive(self, key: object) -> None:
        """The last try was right after all: everything is given back."""
        self._left.pop(key, None)
