"""A small true network in memory: accounts, nonces, coins and tokens, a pool with geth's replacement rule, blocks that
can be reorganised, and nodes that lose replies, swallow transactions, hide receipts, lag or go down.

`ModelChain` is what happens; `FakeChain` is what our nodes let us see of it, as the port.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from adapters.chains.evm import address as addresses
from domain import fee as fees
from domain.asset import Asset
from domain.coin import Coin
from domain.errors import Refused, Unavailable, Uncertain
from domain.money import Amount
from domain.network import Network
from domain.outgoing import Outgoing
from domain.payout import Draft, Facts, Fee, Inclusion, Payment, Sighting, Slot, Version

NATIVE_GAS = 21_000
TOKEN_GAS = 50_000
BLOCK_GAS = 30_000_000
READ_BLOCKS_MAX = 10


@dataclass(frozen=True)
class Tx:
    """A signed transfer. `asset` is an asset id; `txid` is the hash of everything in it."""

    chain_id: int
    wallet: str
    nonce: int
    asset: str
    recipient: str
    amount: int
    weight: int
    price: int
    tip: int
    slot_id: str = ""

    @property
    def unsigned(self) -> str:
        return "0x" + json.dumps(asdict(self), sort_keys=True).encode().hex()

    @property
    def raw(self) -> str:
        return self.unsigned + "5163"  # the toy signature: two bytes nobody checks

    @property
    def txid(self) -> str:
        return "0x" + hashlib.sha256(self.raw.encode()).hexdigest()

    @classmethod
    def read(cls, raw: str) -> "Tx":
        return cls(**json.loads(bytes.fromhex(raw.removeprefix("0x").removesuffix("5163"))))


def signed(draft: Draft, number: int, at: datetime | None = None) -> Version:
    """The signer of this network: the same draft always gives the same bytes."""
    tx = Tx.read(draft.unsigned)
    return Version(draft.slot_id, number, tx.txid, tx.raw, draft.fee, at or datetime.now(UTC), tx.amount == 0)


@dataclass(frozen=True)
class Outcome:
    """What became of a transaction in a block. `moved`: the payment arrived in full; `strayed`: only a part of it."""

    tx: Tx
    succeeded: bool
    moved: bool
    strayed: bool
    cost: int


@dataclass(frozen=True)
class Block:
    number: int
    salt: int
    parent: str
    outcomes: tuple[Outcome, ...]
    nonces: Mapping[str, int]
    balances: Mapping[tuple[str, str], int]

    @property
    def hash(self) -> str:
        text = f"{self.number}/{self.salt}/{self.parent}/{[o.tx.txid for o in self.outcomes]}"
        return "0x" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class ModelChain:
    """The network itself. Transfers of `broken` assets revert, those of `mute` ones succeed without moving anything,
    and of `taxed` ones a tenth is kept back; addresses of `code` cannot be paid.
    """

    network: Network
    assets: Mapping[str, Asset]
    base_fee: int = 10**9
    tip: int = 10**9
    pool: dict[str, Tx] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    taxed: set[str] = field(default_factory=set)
    code: set[str] = field(default_factory=set)
    salt: int = 0

    def __post_init__(self) -> None:
        self.blocks.append(Block(0, 0, "", (), {}, {}))

    # ------------------------------------------------------------ what the network does
    def fund(self, asset_id: str, account: str, units: int) -> None:
        """Gives units in a block of its own."""
        self._append(())
        tip = self.blocks[-1]
        key = (asset_id, account.lower())
        self.blocks[-1] = replace(tip, balances={**tip.balances, key: tip.balances.get(key, 0) + units})

    def submit(self, tx: Tx) -> str | None:
        """Takes a transaction into the pool, by geth's rules; None, or the code of a refusal."""
        if tx.txid in self.pool or self.find(tx.txid):
            return None
        if tx.nonce < self.count(tx.wallet):
            return "BROADCAST_SLOT_USED"
        if self.balance(self.network.native_asset, tx.wallet) < tx.weight * tx.price:
            return "BROADCAST_WALLET_SHORT"
        rivals = [other for other in self.pool.values() if (other.wallet, other.nonce) == (tx.wallet, tx.nonce)]
        if any(tx.price * 10 < r.price * 11 or tx.tip * 10 < r.tip * 11 for r in rivals):
            return "BROADCAST_UNDERPRICED"
        for rival in rivals:
            del self.pool[rival.txid]
        self.pool[tx.txid] = tx
        return None

    def mine(self, blocks: int = 1, extra: Sequence[Tx] = ()) -> None:
        """New blocks, each taking what the pool can afford, by nonce; the first takes `extra` before all else."""
        for _ in range(blocks):
            self._append([*extra, *sorted(self.pool.values(), key=lambda tx: tx.nonce)])
            extra = ()

    def reorg(self, depth: int, instead: Sequence[Sequence[Tx]] = ()) -> None:
        """Replaces the last `depth` blocks by others at the same heights; what they held is gone from the pool too,
        unless `instead` (transactions for each new block) brings it back.
        """
        assert depth < len(self.blocks)
        del self.blocks[len(self.blocks) - depth :]
        self.salt += 1
        for at in range(depth):
            self._append(instead[at] if at < len(instead) else ())

    def forget(self, txid: str) -> None:
        """Every node drops it from its pool."""
        self.pool.pop(txid, None)

    def _append(self, candidates: Sequence[Tx]) -> None:
        last = self.blocks[-1]
        nonces, balances = dict(last.nonces), dict(last.balances)
        outcomes, gas = [], 0
        for tx in candidates:
            affordable = tx.price >= self.base_fee and gas + tx.weight <= BLOCK_GAS
            if affordable and nonces.get(tx.wallet.lower(), 0) == tx.nonce:
                outcomes.append(self._execute(tx, nonces, balances))
                gas += tx.weight
        self.blocks.append(Block(last.number + 1, self.salt, last.hash, tuple(outcomes), nonces, balances))
        spent = {(o.tx.wallet, o.tx.nonce) for o in outcomes}
        for txid in [txid for txid, tx in self.pool.items() if (tx.wallet, tx.nonce) in spent]:
            del self.pool[txid]

    def _execute(self, tx: Tx, nonces: dict[str, int], balances: dict[tuple[str, str], int]) -> Outcome:
        wallet, native = tx.wallet.lower(), self.network.native_asset
        cost = min(tx.weight, self._gas(tx.asset)) * min(tx.price, self.base_fee + tx.tip)
        nonces[wallet] = tx.nonce + 1
        balances[native, wallet] = balances.get((native, wallet), 0) - cost
        source, target = (tx.asset, wallet), (tx.asset, tx.recipient.lower())
        mute, strayed = tx.asset in self.mute, tx.asset in self.taxed
        succeeded = tx.asset not in self.broken and (mute or balances.get(source, 0) >= tx.amount)
        if succeeded and not mute:
            balances[source] -= tx.amount
            balances[target] = balances.get(target, 0) + (tx.amount * 9 // 10 if strayed else tx.amount)
        moved = succeeded and not mute and not strayed and tx.amount > 0
        return Outcome(tx, succeeded, moved, succeeded and strayed, cost)

    def _gas(self, asset_id: str) -> int:
        return NATIVE_GAS if self.assets[asset_id].native else TOKEN_GAS

    # ------------------------------------------------------------ what is true of it
    @property
    def head(self) -> int:
        return self.blocks[-1].number

    def count(self, wallet: str, block: int | None = None) -> int:
        return self.blocks[-1 if block is None else block].nonces.get(wallet.lower(), 0)

    def balance(self, asset_id: str, account: str) -> int:
        return self.blocks[-1].balances.get((asset_id, account.lower()), 0)

    def find(self, txid: str, head: int | None = None) -> tuple[Block, Outcome] | None:
        """Where the canonical chain up to `head` holds it."""
        for block in reversed(self.blocks[: None if head is None else head + 1]):
            for outcome in block.outcomes:
                if outcome.tx.txid == txid:
                    return block, outcome
        return None

    def spender(self, wallet: str, nonce: int, head: int) -> str | None:
        return next(
            (
                o.tx.txid
                for block in self.blocks[: head + 1]
                for o in block.outcomes
                if (o.tx.wallet.lower(), o.tx.nonce) == (wallet.lower(), nonce)
            ),
            None,
        )


@dataclass
class Faults:
    """What the nodes do wrong next; each number counts down."""

    lost_replies: int = 0
    black_holes: int = 0
    hidden_receipts: int = 0
    down: int = 0
    lag: int = 0  # stays until set back: every head is this many blocks old
    forgets_states: bool = False  # stays: who used a nonce is found only by whoever suspects the right one

    def strikes(self, name: str) -> bool:
        left = getattr(self, name)
        setattr(self, name, max(0, left - 1))
        return bool(left)


class FakeChain:
    """`domain.ports.Chain` over a ModelChain. `mines` blocks are mined whenever a transaction was taken (0: the test
    mines); `sent` lists the txid of every broadcast that reached a node, `looks` counts the looks at slots. Not
    `counts`: the nodes do not tell how many transactions a key has sent, so its blocks are read, `READ_BLOCKS_MAX` at a
    time.
    """

    def __init__(
        self, model: ModelChain, own_addresses: Collection[str] = (), *, mines: int = 0, counts: bool = True
    ) -> None:
        self.model = model
        self.counts = counts
        self.faults = Faults()
        self.mines = mines
        self.sent: list[str] = []
        self.looks = 0
        self._ours = frozenset(own.lower() for own in own_addresses)

    @property
    def network(self) -> Network:
        return self.model.network

    def check_address(self, text: str, asset: Asset) -> str:
        contracts = {a.contract.lower() for a in self.model.assets.values() if a.contract}
        return addresses.check(text, network=asset.network, token_contracts=contracts, ours=self._ours)

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        self._reach()
        asset, recipient, amount = _together(payments)
        if self.model.balance(asset, wallet) < amount:
            raise Unavailable("WALLET_SHORT", "The hot wallet is short; the payment waits for its refill.")
        await self.inspect(recipient, self.model.assets[asset])
        if asset in self.model.broken:
            raise Refused("PAYMENT_REVERTS", "The network would reject this payment.", reason="broken on purpose")
        gas = NATIVE_GAS if self.model.assets[asset].native else TOKEN_GAS
        return await self.market(fees.with_margin(gas))

    async def fund(self, payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        return ()  # the wallet is one account

    async def inspect(self, recipient: str, asset: Asset) -> None:
        self._reach()
        if recipient in self.model.code:
            raise Refused("ADDRESS_CONTRACT", "The recipient is a contract.", asset=asset.id)

    async def explain(self, amount: Amount, recipient: str | None, wallet: str) -> fees.NetworkCost:
        payment = Payment("", amount.asset.id, str(amount.units), recipient or addresses.unused())
        most = (await self.quote((payment,), wallet)).most
        gas = NATIVE_GAS if amount.asset.native else TOKEN_GAS
        price = self.model.base_fee + self.model.tip
        return fees.NetworkCost(most, (fees.CostLine("gas", gas, fees.PAID, gas * price),))

    async def market(self, weight: int) -> Fee:
        self._reach()
        rules = self.network.fees
        market = fees.Market(self.model.base_fee, self.model.tip)
        chosen = fees.choose(market, weight, rules, rules.network_fee_cap)
        if chosen is None:
            raise Refused("FEE_ABOVE_CAP", "The network costs more now than its caps allow; the payment waits.")
        return chosen

    async def draft(self, slot: Slot, fee: Fee) -> Draft:
        if fee.most > int(slot.fee_cap):
            raise Refused("FEE_ABOVE_CAP", "The fee passes the cap of its slot.", slot=slot.id)
        tx = Tx(
            self.network.chain_id,
            slot.wallet,
            int(slot.scarce),
            *_together(slot.payments),
            fee.weight,
            fee.price,
            fee.tip,
            slot.id,
        )
        return Draft(slot.id, tx.unsigned, fee)

    def bump(self, slot: Slot, last: Fee, market: Fee) -> Fee | None:
        return fees.bump(last, market, self.network.fees, int(slot.fee_cap))

    async def void(self, slot: Slot, last: Fee | None) -> Draft:
        fee: Fee | None = await self.market(fees.with_margin(NATIVE_GAS))
        if fee is not None and last is not None:
            fee = fees.bump(replace(last, weight=fee.weight), fee, self.network.fees, int(slot.fee_cap))
        if fee is None:
            raise Refused("FEE_ABOVE_CAP", "Nothing within its cap replaces this slot's versions.", slot=slot.id)
        native, nonce = self.network.native_asset, int(slot.scarce)
        price = (fee.weight, fee.price, fee.tip)
        tx = Tx(self.network.chain_id, slot.wallet, nonce, native, slot.wallet, 0, *price, slot.id)
        return Draft(slot.id, tx.unsigned, fee)

    async def broadcast(self, version: Version) -> None:
        if self.faults.strikes("down"):
            raise Uncertain("BROADCAST_UNKNOWN", "No node answered.", txid=version.txid)
        self.sent.append(version.txid)
        if self.faults.strikes("black_holes"):
            return
        code = self.model.submit(Tx.read(version.raw))
        if code is None:
            self.model.mine(self.mines)
        if self.faults.strikes("lost_replies"):
            raise Uncertain("BROADCAST_UNKNOWN", "The reply was lost.", txid=version.txid)
        if code is not None:
            raise Refused(code, "The nodes refuse it.", txid=version.txid)

    async def observe(self, slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        self.looks += 1
        self._reach()
        head = self._head()
        hidden = self.faults.strikes("hidden_receipts")
        final_block = head - slot.confirmations + 1
        used = final_block >= 0 and self.model.count(slot.wallet, final_block) > int(slot.scarce)
        sightings = tuple(Sighting(v.txid, False, None) if hidden else self._sighting(v.txid, head) for v in versions)
        proven = used and not any(s.inclusion for s in sightings)
        consumer = self.model.spender(slot.wallet, int(slot.scarce), final_block) if proven else None
        if self.faults.forgets_states and consumer != suspect:
            consumer = None
        return Facts(head, final_block, used, consumer, sightings, datetime.now(UTC))

    async def next_scarce(self, wallet: str) -> tuple[int, int]:
        self._reach()
        if not self.counts:
            return 0, 0
        latest = self.model.count(wallet)
        waiting = {tx.nonce for tx in self.model.pool.values() if tx.wallet.lower() == wallet.lower()}
        pending = latest
        while pending in waiting:
            pending += 1
        return latest, pending

    async def outgoing(self, wallet: str, after: int | None) -> Outgoing:
        self._reach()
        if self.counts:
            return Outgoing(after, None)
        final = self._head() - self.network.confirmations + 1
        if after is None or final <= after:
            return Outgoing(after, final if after is None else after)
        through = min(final, after + READ_BLOCKS_MAX)
        outcomes = (o for block in self.model.blocks[after + 1 : through + 1] for o in block.outcomes)
        txids = tuple(o.tx.txid for o in outcomes if o.tx.wallet.lower() == wallet.lower())
        return Outgoing(after, through, txids)

    async def balance(self, asset: Asset, address: str) -> Amount:
        self._reach()
        return Amount(self.model.balance(asset.id, address), asset)

    async def head(self) -> int:
        self._reach()
        return self._head()

    def _head(self) -> int:
        return max(0, self.model.head - self.faults.lag)

    def _reach(self) -> None:
        if self.faults.strikes("down"):
            raise Unavailable("NODE_SILENT", "No node answered.")

    def _sighting(self, txid: str, head: int) -> Sighting:
        found = self.model.find(txid, head)
        if found is None:
            return Sighting(txid, txid in self.model.pool or self.model.find(txid) is not None, None)
        block, outcome = found
        claim = Inclusion(
            block.number, block.hash, outcome.succeeded, outcome.moved, str(outcome.cost), outcome.strayed
        )
        return Sighting(txid, True, claim)


def _together(payments: Sequence[Payment]) -> tuple[str, str, int]:
    """Asset, recipient and units of the one transfer that makes these payments: all of them go to one recipient."""
    [(asset, recipient)] = {(payment.asset, payment.recipient) for payment in payments}
    return asset, recipient, sum(int(payment.amount) for payment in payments)
