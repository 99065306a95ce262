"""What carries the call: one folder per kind of conference bridge, strangers to each other.

Floor 4. In each folder `client.py` talks to the bridge and `mapping.py`, pure, translates. An adapter looks
before it creates and adopts what carries our marker, so that a repeated call is harmless.
"""
