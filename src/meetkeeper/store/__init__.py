"""What survives: the journal, its checkpoints, the database above them and the checker that reads it all back.

Floor 3, over the disk port only. One plan is one frame is one atom; nobody reads, hears or sees a change
before its frame is flushed, and a failed flush is final.
"""
