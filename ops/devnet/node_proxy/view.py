"""What a node shows of its head. A lagging one (`stale_head`) shows everything as it was so many blocks ago."""

from typing import Any

from ops.devnet.node_proxy.node import Node

# The place of the block among the parameters of each method that has one.
BLOCK_AT = {
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
    "eth_getProof": 2,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_createAccessList": 1,
    "eth_feeHistory": 1,
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_getBlockTransactionCountByNumber": 0,
    "eth_getTransactionByBlockNumberAndIndex": 0,
    "trace_block": 0,
}
OPTIONAL_BLOCK = ("eth_call", "eth_estimateGas", "eth_createAccessList")
BLOCK_FIELDS = ("blockHash", "blockNumber", "transactionIndex", "blockTimestamp")


class View:
    """The chain as seen `lag` blocks late."""

    def __init__(self, node: Node, epoch_slots: int) -> None:
        self._node = node
        self._epoch_slots = epoch_slots

    async def head(self, lag: int) -> int:
        return max(0, int(await self._node.call("eth_blockNumber"), 16) - lag)

    async def asked(self, method: str, params: list[Any], lag: int) -> list[Any]:
        """The parameters with which the node tells what a late one would tell."""
        head = await self.head(lag)
        params = list(params)
        if method == "eth_getLogs" and params and isinstance(params[0], dict):
            span = dict(params[0])
            for edge in ("fromBlock", "toBlock"):
                if "blockHash" not in span:
                    span[edge] = self._number(span.get(edge, "latest"), head)
            return [span, *params[1:]]
        place = BLOCK_AT.get(method)
        if place is None:
            return params
        if len(params) == place and method in OPTIONAL_BLOCK:
            params.append("latest")
        if len(params) > place:
            params[place] = self._number(params[place], head)
        return params

    def _number(self, block: Any, head: int) -> Any:
        """A tag or number as a number that the late node has; what lies above its head stays unknown to it."""
        back = {"latest": 0, "pending": 0, "safe": self._epoch_slots, "finalized": 2 * self._epoch_slots}
        if block in back:
            return hex(max(0, head - back[block]))
        return block

    async def told(self, method: str, params: list[Any], result: Any, lag: int) -> Any:
        """The answer without what the late node cannot know yet."""
        if method == "eth_blockNumber":
            return hex(max(0, int(result, 16) - lag))
        if not isinstance(result, dict):
            return result
        head = await self.head(lag)
        if method == "eth_getTransactionReceipt" and int(result["blockNumber"], 16) > head:
            return None
        if method in ("eth_getBlockByNumber", "eth_getBlockByHash") and int(result["number"], 16) > head:
            return None
        if method == "eth_getTransactionByHash" and int(result.get("blockNumber") or "0x0", 16) > head:
            return result | dict.fromkeys(BLOCK_FIELDS)
        return result
