"""One person at the front door: the REST API with their key."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

PATIENCE_S = 60.0
Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Door:
    """The REST API as one person uses it. A dropped connection or a 503 is answered by the same call again: the
    Idempotency-Key makes that harmless.
    """

    session: aiohttp.ClientSession
    url: str
    key: str

    async def get(self, path: str) -> Answer:
        return await self._call("GET", path, None, {})

    async def post(self, path: str, body: Mapping[str, object], idempotency_key: str | None = None) -> Answer:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self._call("POST", path, body, headers)

    async def _call(self, method: str, path: str, body: Mapping[str, object] | None, headers: dict[str, str]) -> Answer:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with self.session.request(
                    method, self.url + path, json=body, headers={"Authorization": f"Bearer {self.key}", **headers}
                ) as answer:
                    status, text = answer.status, await answer.text()
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                status, text = 503, json.dumps({"detail": str(error) or type(error).__name__})
            if status not in (429, 502, 503, 504) or time.monotonic() > until:
                return status, json.loads(text) if text else {}
            await asyncio.sleep(0.3)
