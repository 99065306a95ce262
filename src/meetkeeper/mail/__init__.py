"""How invitees hear of it: `mime.py` builds the message from values and is pure, `smtp.py` delivers it.

Floor 4. The Message-ID is the effect's key, so a message sent again after a takeover is recognised as the
same one.
"""
