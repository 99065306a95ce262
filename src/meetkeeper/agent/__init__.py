"""The small parent process: starts the node, watches it, starts it again, ends it when it hangs, says when it is gone.

Public: words (exit codes, settings, what agents say to each other), watch (the decisions, pure), parent (`Agent`),
heartbeat (the node's side), proving, listening, client (`AgentProver`), fence (`FenceProver`).
"""
