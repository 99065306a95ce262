"""The small process that touches the share: reads and makes numbered files, one question a line, one answer a line.

It is a program of its own, started by `worker` with nothing but the standard library, because whoever touches a share
that hangs may hang with it where no signal reaches. It decides nothing about records: bytes in, bytes out.

A new number is a whole, flushed file before it has its name: written aside, then linked to the name, which fails when
the name is taken. Where the file system knows no links, the file is made under its name exclusively; whoever looks at
it half written finds a checksum that does not fit.
"""

import errno
import json
import os
import sys
from contextlib import suppress

KEPT = 100
"""Numbers that stay, the newest among them."""
BYTES_MAX = 65_536
LOOKS_MAX = 10
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_NO_FOLDER_FLUSH = {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}

Answer = dict[str, str | int]


def name_of(number: int) -> str:
    """The file of this number."""
    return f"reg-{number:020d}.json"


def handle(folder: str, question: dict[str, str | int]) -> Answer:
    """Answer one question. Never raises for what a share may do."""
    try:
        if question["do"] == "read":
            return read(folder)
        return change(folder, int(question["expected"]), str(question["data"]), str(question["aside"]))
    except OSError as error:
        return {"trouble": _said(error)}


def read(folder: str) -> Answer:
    """The newest number and its bytes; number 0 when there is none."""
    for _ in range(LOOKS_MAX):
        number = _newest(folder)
        if number == 0:
            return {"number": 0, "data": ""}
        # It may have gone since: another server makes numbers and removes old ones.
        with suppress(FileNotFoundError), open(os.path.join(folder, name_of(number)), "rb") as file:
            return {"number": number, "data": file.read(BYTES_MAX + 1).decode("latin-1")}
    return {"trouble": "the newest file vanishes whenever it is looked at"}


def change(folder: str, expected: int, data: str, aside: str) -> Answer:
    """Make the number after `expected`, if that is the newest. `aside` is the start of this server's names aside.

    Answers `won`; or what stands, as `read`; or `undone` with a reason: certainly nothing happened; or `unknown`.
    """
    made = ""
    try:
        # What a worker that was left behind has written aside: without it, its link can't come late.
        for leftover in os.listdir(folder):
            if leftover.startswith(aside):
                _remove(os.path.join(folder, leftover))
        if _newest(folder) != expected:
            return read(folder)
        made = os.path.join(folder, f"{aside}{os.getpid()}")
        _write_new(made, data.encode("latin-1"))
    except OSError as error:
        _remove(made)
        return {"undone": _said(error)}
    try:
        return _name(folder, expected + 1, made, data.encode("latin-1"))
    except FileExistsError:
        return read(folder)
    except OSError as error:
        return {"unknown": _said(error)}
    finally:
        _remove(made)


def _name(folder: str, number: int, made: str, data: bytes) -> Answer:
    target = os.path.join(folder, name_of(number))
    try:
        os.link(made, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _write_new(target, data)
    _flush_folder(folder)
    if _newest(folder) >= number + KEPT:
        # So late that the number had been there and was removed again: it only looked free.
        os.unlink(target)
        return read(folder)
    _remove_old(folder, number)
    return {"won": number}


def _newest(folder: str) -> int:
    number = max(map(_number, os.listdir(folder)), default=0)
    # A listing may be older than a name, also where nothing should be cached.
    while os.path.lexists(os.path.join(folder, name_of(number + 1))):
        number += 1
    return number


def _number(name: str) -> int:
    digits = name[4:24]
    return int(digits) if digits.isascii() and digits.isdigit() and name == name_of(int(digits)) else 0


def _write_new(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError:
            # Half a file was never a value to anybody, so nobody misses it.
            os.unlink(path)
            raise
        os.fsync(file)
    finally:
        os.close(file)


def _flush_folder(folder: str) -> None:
    handle_ = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle_)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise
    finally:
        os.close(handle_)


def _remove_old(folder: str, number: int) -> None:
    with suppress(OSError):
        for name in os.listdir(folder):
            if 0 < _number(name) <= number - KEPT:
                os.unlink(os.path.join(folder, name))


def _remove(path: str) -> None:
    with suppress(OSError):
        if path:
            os.unlink(path)


def _said(error: OSError) -> str:
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)


def main(folder: str) -> None:
    """Answer until nobody asks any more."""
    with os.fdopen(0, "rb") as questions, os.fdopen(1, "wb", buffering=0) as answers:
        for line in questions:
            answers.write(json.dumps(handle(folder, json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
