"""Room mailboxes on Exchange, over EWS.

`client` is the port: what changed, everything, write, remove. `server` is what the rooms of one server share: threads,
patience, sessions. `line` is the one door to the `exchangelib` package: logins and requests, which `asking` makes.
`soap` reads answers within bounds; `mapping`, `patterns`, `zones` and `faults` translate and are pure.
"""
