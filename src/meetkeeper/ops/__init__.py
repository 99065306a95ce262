"""Operations: readiness of the passive, taking copied files over, failback, records set aside and replayed.

Public: readiness, files, aside, drill.
"""
