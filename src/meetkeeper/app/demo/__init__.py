"""The demonstration: a pair of meeting servers on one machine, for a person to play with or to judge itself.

`parts` are the neighbours and the homes, `calendars` the rooms' calendars, `servers` the two servers, `show` runs them
for a person. `check` lives through a `story`: `actors` and `booker` are people and programs who know nothing of the
inside, `blows` is what befalls the servers, `lookout` watches who acts, and `verdict` compares what was promised with
what was seen.
"""
