"""The shapes of the outside: disk, clock, peer, register, calendar, bridge, mailer.

Floor 2, Protocols and the values they carry, no implementation. A port has few verbs; where an adapter
seems to need one more, the core is missing a word. Each port has one contract suite in `testing/contracts`,
which its fake and every real adapter pass.
"""
