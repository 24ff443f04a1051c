"""The pace of a local chain: a wait for the next block that ends early when something happens to the chain."""

import asyncio
from time import monotonic


async def disturbed(moved: asyncio.Event, due_at: float) -> bool:
    """Waits until `due_at` (monotonic seconds). True when `moved` was set meanwhile: when the block is due has to be
    asked anew.
    """
    left = due_at - monotonic()
    if left <= 0:
        await asyncio.sleep(0)  # a chain without a pace must leave room for requests
        return False
    moved.clear()
    try:
        await asyncio.wait_for(moved.wait(), left)
    except TimeoutError:
        return False
    return True
