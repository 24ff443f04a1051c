"""The first chain: a rich, well-known account, USDT at a constant address, and a TRC10 token that only looks like it.

`genesis.json` beside this module holds what the contracts' constructors have left, so that a start need not run them.
`python -m ops.devnet.tron.genesis` makes it anew when an artifact has changed.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from ops.devnet.tron.block import Block
from ops.devnet.tron.keys import address_of, base58_of, contract_address, digest_of
from ops.devnet.tron.ledger import Account, Contract, Ledger, Moment, Token
from ops.devnet.tron.machine import Call, execute
from ops.devnet.tron.messages import SMART_CONTRACT, encode
from ops.devnet.tron.packing import pack, unpack
from ops.devnet.tron.world import World

FILE = Path(__file__).resolve().parent / "genesis.json"
ARTIFACTS = Path(__file__).resolve().parent / "contracts"
TIME_MS = 1_704_067_200_000  # 2024-01-01
SLOT_MS = 1_000

# The account of every TRON tutorial's private network: its key is published and worth nothing anywhere but here.
TREASURY = "TPL66VK2gCXNCD7EJg9pgJRfqcRazjhUZY"
TREASURY_SUN = 5_000_000_000 * 1_000_000
USDT_UNITS = 1_000_000_000 * 10**6

# Where the contracts are: they follow from the words below, and never change.
USDT = "TUQLn5PAkatvhbbyEvCrQqkvVJYDk3wPAN"
DISPERSE = "TCeKq3gza3YJSaAtx2MZASSXKtPUUZK69p"
FALSE_USDT = Token("1000001", "Tether USD", "USDT", address_of(TREASURY), USDT_UNITS, 6)

DEPLOY_ENERGY = 100_000_000


def artifact(contract: str) -> dict[str, Any]:
    """ABI and bytecode of a compiled contract."""
    found: dict[str, Any] = json.loads((ARTIFACTS / f"{contract}.json").read_text())
    return found


def first_block() -> Block:
    """Block 0. The end of its id names the chain, so it is the same at every pace."""
    return Block.seal(0, bytes(32), TIME_MS, SLOT_MS)


def first_world() -> World:
    """The cells of block 0."""
    rows = orjson.loads(FILE.read_bytes())
    return World({unpack(key): unpack(value) for key, value in rows})


def abi_message(abi: list[dict[str, Any]]) -> dict[str, Any]:
    """A Solidity ABI as the protobuf of a SmartContract has it."""
    return {"entrys": [_entry(row) for row in abi]}


def build() -> list[Any]:
    """The packed cells, from the contracts' constructors."""
    world, treasury = World(), address_of(TREASURY)
    ledger = Ledger(world, Moment(0, TIME_MS))
    ledger.save(treasury, Account(TIME_MS, balance=TREASURY_SUN))
    world.put(("token", FALSE_USDT.id), FALSE_USDT)
    ledger.add_token(treasury, FALSE_USDT.id, FALSE_USDT.supply)
    _deploy(ledger, "UsdtTrc20", USDT_UNITS.to_bytes(32, "big"))
    _deploy(ledger, "Disperse")
    rows = [[pack(key), pack(value)] for key, value in world.cells.items()]
    return sorted(rows, key=lambda row: str(row[0]))


def address_for(contract: str) -> bytes:
    """Where a contract of the first chain is."""
    return contract_address(digest_of(f"genesis {contract}".encode()), address_of(TREASURY))


def _deploy(ledger: Ledger, contract: str, arguments: bytes = b"") -> None:
    row, at, owner = artifact(contract), address_for(contract), address_of(TREASURY)
    bytecode = bytes.fromhex(row["bytecode"][2:]) + arguments
    described = {
        "origin_address": owner,
        "contract_address": at,
        "abi": abi_message(row["abi"]),
        "bytecode": bytecode,
        "consume_user_resource_percent": 100,
        "name": contract,
    }
    ledger.open(at, "Contract")
    ledger.save_contract(at, Contract(encode(SMART_CONTRACT, described)))
    done = execute(ledger, Call(owner, at, bytecode, DEPLOY_ENERGY, deploys=True))
    if done.error:
        raise SystemExit(f"{contract}: {done.error} {done.message}")
    ledger.save(at, replace(ledger.expect(at), kind="Contract"))


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"type": row["type"].title()}
    if "name" in row:
        kept["name"] = row["name"]
    for side in ("inputs", "outputs"):
        words = ("indexed", "name", "type")
        kept[side] = [{word: one[word] for word in words if word in one} for one in row.get(side, [])]
    if row.get("anonymous"):
        kept["anonymous"] = True
    if "stateMutability" in row:
        kept["stateMutability"] = row["stateMutability"].title()
    return kept


def main() -> None:
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in build()) + "\n]\n")
    for name in ("UsdtTrc20", "Disperse"):
        print(name, base58_of(address_for(name)))


if __name__ == "__main__":
    main()
