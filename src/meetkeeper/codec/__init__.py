"""Bytes to values and back: frames, records, snapshots and the talk between the two servers.

Floor 1, pure. Everything that is ever written or sent takes its shape here, with a version; an unknown kind
is refused, never skipped, because a skipped record is a lost meeting.
"""
