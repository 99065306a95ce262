"""What ought to be true: meetings, rooms, invitations, outbox, and the plans that change them.

Floor 0, pure: no clock, no dice, no disk, no logging, no asyncio. Time and randomness come in as values;
what must happen goes out as a plan (changes, effects, notes) decided as one atom. `keeper.step` is the
front door and `changes.apply` the only hand that writes State. Neighbour `ha` is a stranger: the core has
never heard of servers.
"""
