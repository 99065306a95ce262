"""Who may act. Pure, and it has never heard of meetings: no clock, no disk, no network, no dice.

Public: words, table, machine, lineage, conversation.
"""
