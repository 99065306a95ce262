"""iCalendar text ↔ the words of the house: what every calendar adapter, the engine and the mails share.

Floor 1, pure: bytes come in, records go out, and back. `lines` takes text apart within bounds, `zones` finds the IANA
name behind whatever a program calls its zone, `reading` makes a `CalendarItem`, `writing` makes the text of one.
The `icalendar` package does the lexing (folding, quoting, escaping); what the values mean is decided here, because
its own time zones live in a cache that one bad item could poison for all others.
"""
