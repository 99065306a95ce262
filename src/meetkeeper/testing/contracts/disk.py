"""What every disk must do: the crash disk and the real one pass the same.

A test module makes a class `Test…(DiskContract)` with a fixture `disk` that gives an empty home.
"""

import pytest

from meetkeeper.ports.disk import Disk


class DiskContract:
    """The contract of `ports.disk`. Durability itself can't be seen from here; `tests/crash` is about that."""

    def test_what_is_appended_is_read(self, disk: Disk) -> None:
        """Appends stand one after the other, flushed or not, opened again or not."""
        disk.make_folder("t:make", "a/b")
        file = disk.open_append("t:open", "a/b/one")
        file.append("t:append", b"first ")
        file.flush("t:flush")
        file.append("t:append", b"second ")
        file.close("t:close")
        again = disk.open_append("t:open", "a/b/one")
        again.append("t:append", b"third")
        assert disk.read("t:read", "a/b/one") == b"first second third"
        assert disk.size("t:size", "a/b/one") == 18
        again.close("t:close")

    def test_a_file_is_created_when_it_is_opened(self, disk: Disk) -> None:
        """An opened file is there at once, empty."""
        disk.open_append("t:open", "one").close("t:close")
        assert disk.read("t:read", "one") == b""

    def test_parts_are_read_from_anywhere(self, disk: Disk) -> None:
        """A part is as long as asked for, shorter only at the end."""
        disk.write_new("t:write", "one", b"0123456789")
        assert disk.read_part("t:read", "one", 2, 3) == b"234"
        assert disk.read_part("t:read", "one", 8, 30) == b"89"
        assert disk.read_part("t:read", "one", 10, 5) == b""

    def test_a_new_file_replaces_the_old_content(self, disk: Disk) -> None:
        """`write_new` leaves nothing of what was there."""
        disk.write_new("t:write", "one", b"long content")
        disk.write_new("t:write", "one", b"short")
        assert disk.read("t:read", "one") == b"short"

    def test_a_file_is_cut(self, disk: Disk) -> None:
        """Cutting keeps the beginning, and appends go on after it."""
        disk.write_new("t:write", "one", b"0123456789")
        disk.truncate("t:cut", "one", 4)
        file = disk.open_append("t:open", "one")
        file.append("t:append", b"x")
        file.close("t:close")
        assert disk.read("t:read", "one") == b"0123x"

    def test_a_rename_replaces(self, disk: Disk) -> None:
        """The new name holds the new content, the old name is gone."""
        disk.write_new("t:write", "one", b"new")
        disk.write_new("t:write", "two", b"old")
        disk.rename("t:rename", "one", "two")
        assert disk.read("t:read", "two") == b"new"
        assert disk.listing("t:list", "") == ["two"]

    def test_an_open_file_survives_its_name(self, disk: Disk) -> None:
        """What is appended after a rename stands under the new name."""
        file = disk.open_append("t:open", "one")
        disk.rename("t:rename", "one", "two")
        file.append("t:append", b"x")
        file.close("t:close")
        assert disk.read("t:read", "two") == b"x"

    def test_what_is_not_there_is_not_found(self, disk: Disk) -> None:
        """Missing files raise `FileNotFoundError`, also where their folder is missing."""
        for ask in (
            lambda: disk.read("t:read", "none"),
            lambda: disk.read_part("t:read", "none", 0, 1),
            lambda: disk.size("t:size", "none"),
            lambda: disk.remove("t:remove", "none"),
            lambda: disk.rename("t:rename", "none", "some"),
            lambda: disk.open_append("t:open", "no/folder"),
            lambda: disk.flush_folder("t:folder", "none"),
        ):
            with pytest.raises(FileNotFoundError):
                ask()

    def test_folders_list_their_names(self, disk: Disk) -> None:
        """Names are sorted, folders among them; a missing folder is empty; making one twice is fine."""
        disk.make_folder("t:make", "a/b")
        disk.make_folder("t:make", "a/b")
        disk.write_new("t:write", "a/z", b"")
        disk.write_new("t:write", "a/y", b"")
        disk.write_new("t:write", "a/b/c", b"")
        assert disk.listing("t:list", "a") == ["b", "y", "z"]
        assert disk.listing("t:list", "none") == []
        disk.remove("t:remove", "a/y")
        assert disk.listing("t:list", "a") == ["b", "z"]
        disk.flush_folder("t:folder", "a")

    def test_a_lock_is_held_once(self, disk: Disk) -> None:
        """The second taker is told who holds it; after letting go it is free."""
        assert disk.lock("t:lock", "lock") is None
        holder = disk.lock("t:lock", "lock")
        assert holder is not None
        assert holder.startswith("process ")
        disk.unlock("t:unlock", "lock")
        disk.unlock("t:unlock", "lock")
        assert disk.lock("t:lock", "lock") is None
        disk.unlock("t:unlock", "lock")

    def test_the_room_left_is_told(self, disk: Disk) -> None:
        """Free space is a number of bytes within the whole, with a name for people."""
        space = disk.space("t:space")
        assert 0 <= space.free_bytes <= space.total_bytes
        assert space.where
