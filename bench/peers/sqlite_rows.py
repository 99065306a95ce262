"""Child of the cold start row: reads all meetings of a SQLite file into a dict, typed or as bytes.

Garbage collection is off while loading, as in every loader of ours.
"""

import gc
import sqlite3
import sys
from pathlib import Path

from msgspec import json

from bench.cold_start import say_ready
from bench.records import Booking

READ_AT_ONCE = 4_096


def main() -> None:
    """`python -m bench.peers.sqlite_rows FILE typed|bytes ANSWER`"""
    file, form, answer = sys.argv[1:]
    gc.disable()
    database = sqlite3.connect(file)
    cursor = database.execute("SELECT uid, body FROM meeting")
    cursor.arraysize = READ_AT_ONCE
    held: dict[str, object]
    if form == "typed":
        decode = json.Decoder(Booking).decode
        held = {uid: decode(body) for uid, body in cursor}
    else:
        held = dict(cursor)
    say_ready(Path(answer), held)


if __name__ == "__main__":
    main()
