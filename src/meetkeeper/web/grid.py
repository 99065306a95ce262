"""The timeline's places as style rules: a day in slots of five minutes, so that a page needs no inline style.

`s-N` begins at slot N, `w-N` is N slots wide, `h-N` is a track of N hours, `l-N` the N-th lane of a room whose
meetings overlap. A day has up to 25 hours.
"""

SLOT_S = 300
SLOTS_PER_HOUR = 3_600 // SLOT_S
HOURS_MAX = 25
LANES_MAX = 6


def grid_css() -> str:
    """The rules."""
    slots = HOURS_MAX * SLOTS_PER_HOUR
    rules = [f".s-{slot}{{grid-column-start:{slot + 1}}}" for slot in range(slots)]
    rules += [f".w-{slot}{{grid-column-end:span {slot}}}" for slot in range(1, slots + 1)]
    rules += [f".l-{lane}{{grid-row:{lane + 1}}}" for lane in range(LANES_MAX)]
    for hours in range(1, HOURS_MAX + 1):
        rules.append(f".h-{hours}{{--hours:{hours}}}")
    return "\n".join(rules) + "\n"
