"""The test kit, shipped with the product: a simulated world from one seed, a disk that crashes, fakes and contracts.

Floor 8. May import every room; no room imports it. `python -m meetkeeper.testing.world --seeds N` lives N
worlds.
"""
