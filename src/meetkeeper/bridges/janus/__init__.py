"""Meeting rooms on a Janus WebRTC server, through its VideoRoom plugin and the admin interface.

`client.py` speaks Janus' JSON, `mapping.py` translates meeting rooms to VideoRoom rooms and back and is
pure.
"""
