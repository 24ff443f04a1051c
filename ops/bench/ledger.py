"""`bench ledger`: a hold placed and settled through the books, against the barest function that writes the same rows.

Each round works on a database of its own, copied from one that was filled before; afterwards both must hold the same
balances and as many entries, postings and closed holds.
"""

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg as _asyncpg

from adapters.store.database import Database, open_database
from adapters.store.ledger import Ledger
from adapters.store.migrate import upgrade
from domain.ledger import chart
from domain.ledger.chart import Account
from domain.ledger.entry import Posted, entry_of
from domain.ledger.hold import Hold
from ops.bench.harness import PAIRS_MIN, Measured, Pair, interleave, report, say
from ops.devnet.ports import free_port
from ops.devnet.postgres import SUPERUSER, Postgres

asyncpg: Any = _asyncpg

FEW, MANY = 8, 200
HELD, FEE = 100, 10
FUNDS = 10**15
SOAK_LEDGERS = 4
_REFERENCE = Path(__file__).with_name("ledger_reference.sql")
