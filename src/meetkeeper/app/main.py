"""The `meetkeeper` command: the client's commands, and those that need this machine."""

import sys

from meetkeeper.core.errors import MeetkeeperError

EXIT_TROUBLE = 1


def main() -> None:
    """Run one command; a known trouble is one sentence on stderr."""
    from meetkeeper.app.commands import build  # late: most commands need none of the server

    try:
        build().main(prog_name="meetkeeper", standalone_mode=True)
    except MeetkeeperError as trouble:
        sys.stderr.write(f"meetkeeper: {trouble.message}\n")
        sys.exit(EXIT_TROUBLE)


if __name__ == "__main__":
    main()
