"""What each path of the HTTP API answers, one file per subject. A path is the same under /wallet and /walletsolidity.

java-tron answers 200 to nearly everything: `{}` for what is not there, `{"Error": "class ..."}` for what it did not
understand. Zeros and empty things are left out.
"""

from ops.devnet.tron.answers import accounts, blocks, building, contracts, sending
from ops.devnet.tron.answers.ask import Answer

ANSWERS: dict[str, Answer] = {
    **blocks.ANSWERS,
    **accounts.ANSWERS,
    **contracts.ANSWERS,
    **building.ANSWERS,
    **sending.ANSWERS,
}
# What a solidity node serves of them.
SOLID = frozenset(blocks.ANSWERS) | frozenset(accounts.ANSWERS) | {"triggerconstantcontract", "estimateenergy"}
