"""Meeting rooms that are an address made from a pattern: any service where the address alone is the room.

There is nothing to create, open or close at the other end; the adapter keeps the contract all the same, so
that the rest of the house need not know.
"""
