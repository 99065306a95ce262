"""How invitees hear of it: from an outbox row to a mail, and from a mail to the submission server.

Floor 4. `compose` is the one call for the engine: it asks `core.invitation` what to say, `templates` how to say it,
`calendar_part` for the entry in the invitee's calendar, and lets `mime` put it together; all of that but reading a
user's templates is pure. `smtp` delivers. The Message-ID is made from the effect's key, so a mail that is sent again
after a takeover is recognised as the same one.
"""
