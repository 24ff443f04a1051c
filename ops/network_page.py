"""Writes `docs/networks.md` from the operator's files; a test refuses a stale one."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from adapters.catalogue import Catalogue, load
from domain.money import Amount
from domain.network import ConfirmationTier, Network

PAGE = Path(__file__).resolve().parent.parent / "docs" / "networks.md"
HEAD = """\
# Networks

Generated from `ops/networks.toml`, `ops/assets.toml` and `ops/policy.toml` by `./run networks`; do not edit. A network
of a family we know is a row there and no line of code ([how that was tried](decisions/0005-a-seventh-network.md)).
Each fact was true on the day in the last column; look again before real money depends on it.
"""
NETWORKS = (
    "network",
    "family",
    "chain id",
    "coin",
    "block",
    "final after",
    "waits for `finalized`",
    "batch",
    "checked on",
)
FEES = (
    "network",
    "price: least",
    "least tip",
    "price: most",
    "a payout at most",
    "raised after",
    "gas above the estimate",
)
ASSETS = ("network", "asset", "name", "decimals", "contract", "least withdrawal", "fee", "approvals")


def text() -> str:
    """The page as it must be."""
    catalogue = load("production")
    networks = list(catalogue.networks.values())
    return "\n".join(
        [
            HEAD,
            *_table(NETWORKS, (_network(network, catalogue) for network in networks)),
            "",
            "## Fees",
            "",
            "Prices are whole base units of the coin for a unit of gas, of energy or a virtual byte; what a payout may",
            "cost at most holds over all of its versions.",
            "",
            *_table(FEES, (_fees(network, catalogue) for network in networks)),
            "",
            "## Assets",
            "",
            *_table(ASSETS, (_asset(id_, catalogue) for id_ in catalogue.assets)),
            "",
        ]
    )


def write() -> bool:
    """Writes the page if it differs; whether it did."""
    stale = not PAGE.exists() or PAGE.read_text() != text()
    if stale:
        PAGE.write_text(text())
    return stale


def _network(network: Network, catalogue: Catalogue) -> Sequence[str]:
    batch = f"up to {network.batch_max}, {network.batch_wait_s} s" if network.batch_max > 1 else "one by one"
    tiers = [_tier(tier, network, catalogue) for tier in network.tiers]
    return (
        f"{network.name} (`{network.id}`)",
        network.family,
        str(network.chain_id),
        catalogue.native(network.id).code,
        f"{network.block_time_ms / 1000:g} s",
        "; ".join([f"{network.confirmations} blocks", *tiers]),
        _tag(network),
        batch,
        network.checked_on.isoformat(),
    )


def _tier(tier: ConfirmationTier, network: Network, catalogue: Catalogue) -> str:
    asset = catalogue.asset(network.id, tier.asset_code)
    tagged = " and finalized" if tier.finalized else ""
    return f"{tier.blocks}{tagged} from {_short(Amount(tier.units, asset))} {asset.code}"


def _tag(network: Network) -> str:
    if network.needs_finalized_tag:
        return "always"
    return "large amounts" if network.tells_finalized else "no"


def _fees(network: Network, catalogue: Catalogue) -> Sequence[str]:
    rules, native = network.fees, catalogue.native(network.id)
    return (
        network.name,
        f"{rules.price_floor:,}",
        f"{rules.tip_floor:,}",
        f"{rules.price_cap:,}",
        str(Amount(rules.network_fee_cap, native)),
        f"{rules.bump_after_s} s",
        f"{rules.gas_margin_percent} %",
    )


def _asset(id_: str, catalogue: Catalogue) -> Sequence[str]:
    asset, policy = catalogue.assets[id_], catalogue.policy.assets[id_]
    tiers = [f"{tier.approvals} from {_short(Amount(tier.units, asset))}" for tier in policy.tiers]
    return (
        catalogue.networks[asset.network].name,
        asset.code,
        catalogue.asset_names[id_],
        str(asset.decimals),
        f"`{asset.contract}`" if asset.contract else "native",
        Amount(policy.minimum_units, asset).text(),
        Amount(policy.fee_units, asset).text(),
        ", ".join(tiers),
    )


def _short(amount: Amount) -> str:
    whole, _, fraction = amount.text().partition(".")
    return f"{int(whole):,}" + (f".{fraction}" if fraction else "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(heads), _line(["---"] * len(heads)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
