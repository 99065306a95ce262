"""Stand-ins for the outside: calendar, bridge, mailer, register, disk and clock, faithful to their contracts.

A fake passes the same contract suite as the real adapter, and can be told to fail in every way the real one
does.
"""
