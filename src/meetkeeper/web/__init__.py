"""The screens: pages and events for a browser, all files served by ourselves, usable without scripts.

Floor 6. Knows `api` and the words of `core`, nothing below them. Text a person reads is written here.
"""
