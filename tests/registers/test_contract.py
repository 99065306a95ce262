"""Every register keeps the contract: in memory, in a folder, where the two servers keep it themselves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meetkeeper.testing.contracts.register import RegisterContract, ThirdPlaceContract, WrittenContract
from tests.registers.venues import FakeVenue, FolderVenue, StandingVenue


class TestFakeRegister(ThirdPlaceContract):
    """The register in memory keeps the contract."""

    @pytest.fixture
    def venue(self) -> FakeVenue:
        """An empty place."""
        return FakeVenue()


class TestFileRegister(ThirdPlaceContract, WrittenContract):
    """The folder keeps the contract."""

    @pytest.fixture
    async def venue(self, tmp_path: Path) -> AsyncIterator[FolderVenue]:
        """An empty folder."""
        venue = FolderVenue(tmp_path)
        yield venue
        await venue.close()


class TestFileRegisterWithoutLinks(RegisterContract, WrittenContract):
    """A share that knows no links keeps the contract as well, but for changes that come late."""

    @pytest.fixture
    async def venue(self, tmp_path: Path) -> AsyncIterator[FolderVenue]:
        """An empty folder."""
        venue = FolderVenue(tmp_path, linkless=True)
        yield venue
        await venue.close()


class TestStandingRegister(RegisterContract):
    """Two servers without a third place keep the contract."""

    @pytest.fixture
    def venue(self, tmp_path: Path) -> StandingVenue:
        """Two new homes."""
        return StandingVenue(tmp_path)
