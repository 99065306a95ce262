"""What calendar servers answer, read within bounds: XML as a tree, a gate for each server, HTTP that goes nowhere else.

Floor 1. Adapters of calendars are strangers to each other; what they would all do alike stands here once. `xml` and
`gate` are pure; `http` talks, and only for the adapter that holds its client.
"""
