"""A fake Exchange over real HTTP: EWS for room mailboxes in memory, obedient by default, as odd as asked for.

`server` answers the operations, `wire` speaks HTTP, `cookies` makes and reads sync states with every behaviour that was
seen of a damaged one, `items` and `patterns` write the mailbox's items as EWS writes them.
"""
