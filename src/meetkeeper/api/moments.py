"""How an instant is spelled where no zone is meant: log lines, problem documents, the server's own times."""

from datetime import UTC, datetime


def iso_utc(at_s: float) -> str:
    """ISO 8601 in UTC, to the second, with the `Z` people read fastest."""
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
