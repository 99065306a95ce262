"""Both servers of a pair in one simulated world, from one seed: the heart that runs in production, with other hands.

`run` holds time and fate, `host` a machine with its disk, clock and agent, `process` one life of a server and its
hands (`papers`: those for the disk), `wire` the line, `places` the register, `crowd` who asks, `judges` what must hold.
Nothing here decides who may act: that is `engine.pairing` and `ha`, unchanged.
"""
