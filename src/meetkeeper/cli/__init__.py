"""The command line: every command is a call to the API client, printed for people or, with `--json`, for programs.

Floor 6. Knows `api` only. Server modules are never imported here, so that `meetkeeper status` answers at
once.
"""
