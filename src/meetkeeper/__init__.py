"""meetkeeper: a meeting server that never misses a meeting.

The rooms of this house are its folders; `ARCHITECTURE.md` says what each is for and `.importlinter` holds
them to their floors. This file knows the version and nothing else, so that importing the package costs
nothing.
"""

__version__ = "0.1.0"
