"""Compiled contracts: ABI and bytecode, committed beside their sources."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
NAMES = ("UsdtLike", "FalseToken")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One contract as the compiler left it."""

    contract: str
    compiler: str
    abi: list[dict[str, Any]]
    bytecode: str
    deployed_bytecode: str


def load(contract: str) -> Artifact:
    row = json.loads((FOLDER / f"{contract}.json").read_text())
    return Artifact(row["contract"], row["compiler"], row["abi"], row["bytecode"], row["deployedBytecode"])
