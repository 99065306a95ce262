"""Simulated time: one true time that only goes forward, and a server's wall clock that may be set wrong."""


class SimulatedClock:
    """A `ports.Clock` that moves when it is told to. `steady_s` is the true time, `now_s` what this server believes."""

    __slots__ = ("offset_s", "true_s")

    def __init__(self, start_s: float) -> None:
        self.true_s = start_s
        self.offset_s = 0.0

    def now_s(self) -> float:
        """The wall clock as it is set."""
        return self.true_s + self.offset_s

    def steady_s(self) -> float:
        """The true time."""
        return self.true_s

    def advance_to(self, true_s: float) -> None:
        """Let time pass. It never goes back."""
        if true_s < self.true_s:
            raise ValueError(f"time goes back from {self.true_s} to {true_s}")
        self.true_s = true_s
