"""A whole simulated world from one seed: the real core, codec, store and node among neighbours that misbehave.

    python -m meetkeeper.testing.world --seeds 200           two hundred worlds
    python -m meetkeeper.testing.world --seeds 1 --seed 77    the 77th again, alone

No event loop, no thread, no real clock: a heap of (time, seeded tie-break, event). The seed draws the weather first,
then people, calendars, bridges and mail live in it while the server is crashed, cut off and misled; checkers look at
everything that happens (`testing.checkers`). At the end everything heals, and what ought to converge must have.
"""
