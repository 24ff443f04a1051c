"""The API's tests share one house per module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.house import House, open_house


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url) as open_:
        yield open_
