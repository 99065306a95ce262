"""Where bookings come from: one folder per kind of calendar, strangers to each other.

Floor 4. In each folder `client.py` talks the foreign protocol and `mapping.py`, pure, translates the
foreign item to our words. Foreign errors end in the client: only the port's own errors leave this folder.
"""
