"""Where everything meets: one event in, one synchronous step of core, store and roles, a list of actions out.

Floor 4. `node.handle` orders keep, then send, then call; `dispatch` lends the outbox to the adapters while
the right to act holds; `loop` is the asyncio shell around them and knows nothing about meetings.
"""
