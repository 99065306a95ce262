"""The machine under us: the real disk and the real clock behind the ports.

Floor 4. Nothing else in the house asks the operating system for the time, a random number or a flush.
"""
