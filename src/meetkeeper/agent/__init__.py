"""The small parent process: it starts the node, watches it, ends it if it hangs, and proves that it stopped.

Public: parent.run, client.AgentProver, fence.FenceProver.
"""
