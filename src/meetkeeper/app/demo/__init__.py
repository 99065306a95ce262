"""The demonstration: a whole meeting server on one machine, for a person to play with or to judge itself.

`parts` are the neighbours and the server, `show` runs them for a person. `check` lives through a `story` with `actors`
who know nothing of the inside, and `verdict` compares what was promised with what was seen.
"""
