"""An installation of its own to be broken: real parts in a directory of its own, with networks at a quick pace."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from adapters.catalogue import FOLDER, Catalogue, load
from adapters.settings import Settings
from domain.asset import Asset
from domain.money import Amount
from domain.policy import AssetPolicy
from ops.chaos.schedule import TWIN, Coin, Terrain
from ops.devnet import parts as rows
from ops.devnet.household import CLIENTS
from ops.devnet.ports import answers
from ops.devnet.stack import Stack
from workers.supervisor import Part, Supervisor

COINS = 5  # whole ones, of which a local wallet's coffer has one each
TWIN_HOST = "127.0.0.2"  # where a twin shows its metrics: the first one has the port on 127.0.0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How quick the local networks are. `window_s`: how long a version lives where versions end by time;
    `batch_wait_s`: how long a payout waits for others where they are paid together.
    """

    block_s: float
    bump_after_s: int
    window_s: int
    batch_wait_s: int


BRISK = Pace(block_s=0.5, bump_after_s=2, window_s=10, batch_wait_s=2)


def settings_for(
    base: Settings, folder: Path, pace: Pace = BRISK, networks: Sequence[str] = (), crash_at: str | None = None
) -> Settings:
    """Settings of an installation under `folder`, on the ports of `base`, for these networks (all unless given)."""
    return Settings(
        state_dir=folder / "state",
        port_base=base.port_base,
        catalogue_dir=_catalogue(folder / "catalogue", pace),
        block_time_s=pace.block_s,
        networks=tuple(networks),
        anvil_bin=base.anvil_bin,
        bitcoind=base.bitcoind,
        crash_at=crash_at,
        log_level="INFO",
    )


def _catalogue(folder: Path, pace: Pace) -> Path:
    """The operators' files with the local networks at this pace; finality stays as many blocks as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.toml"):
        (folder / path.name).write_text(path.read_text())
    networks = folder / "networks.toml"
    text = networks.read_text()
    quick = {"block_time_ms": round(pace.block_s * 1000), **asdict(pace)}
    del quick["block_s"]
    for name, value in quick.items():
        text = re.sub(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.MULTILINE)
    networks.write_text(text)
    _few_coins(folder)
    return folder


def _few_coins(folder: Path) -> None:
    """Where a wallet is many coins, it begins with so few that it is short of them time and again: a coin that was
    spent comes back as change only when that is final.
    """
    networks = load("devnet", folder).networks.values()
    native = [network.native_asset for network in networks if network.inputs_max]
    assets = folder / "assets.toml"
    text = assets.read_text()
    few = f'coffer = "{COINS + 1}"\nopening = {{ {CLIENTS[0]} = "{COINS}" }}'
    for id_ in native:
        text = re.sub(rf'(?<=^\[devnet\.{id_}\]\n)coffer = ".*"\nopening = .*$', few, text, flags=re.MULTILINE)
    assets.write_text(text)


def terrain(catalogue: Catalogue, network: str) -> Terrain:
    """What a schedule must know of a network."""
    row = catalogue.networks[network]
    assets = [asset for asset in catalogue.assets.values() if asset.network == network]
    tokens_first = sorted(assets, key=lambda asset: asset.contract is None)
    deepest = min([row.confirmations, *(tier.blocks for tier in row.tiers)])
    return Terrain(
        network,
        tuple(_coin(asset, catalogue.policy.assets[asset.id]) for asset in tokens_first),
        any(asset.contract for asset in assets),
        max(1, deepest - 1),
    )


def _coin(asset: Asset, rules: AssetPolicy) -> Coin:
    quorum = min(tier.units for tier in rules.tiers)
    return Coin(asset.code, Amount(rules.minimum_units, asset).text(), Amount(quorum, asset).text())


def catalogue_of(settings: Settings) -> Catalogue:
    return load(settings.profile, settings.catalogue_dir)


class Ward:
    """The parts of an installation as somebody sees them who kills some and lets twins of workers join."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        settings = stack.settings
        self._extras = Supervisor(settings.run_dir / "extras.json", settings.log_dir)
        self._present: set[str] = set()

    @property
    def parts(self) -> dict[str, dict[str, object]]:
        """What each part is doing, twins included."""
        extras: dict[str, dict[str, object]] = self._extras.snapshot()["parts"]
        return self.stack.parts | extras

    def pid(self, name: str) -> int | None:
        """The process of a part; None while it has none, or is not there at all."""
        row = self.parts.get(name)
        pid = row["pid"] if row else None
        return pid if isinstance(pid, int) else None

    def is_up(self, name: str) -> bool:
        row = self.parts.get(name)
        return row is not None and row["life"] == "ready"

    def kill(self, name: str) -> int | None:
        """`kill -9`; the part is started again. None when it does not run at this moment."""
        if self.pid(name) is None:
            return None
        return self._extras.kill(name) if name in self._present else self.stack.kill(name)

    def join(self, name: str) -> None:
        """One more worker of a kind, named as the kind and TWIN."""
        self._extras.keep([second(self.stack.settings, name)])
        self._present.add(name)

    async def leave(self, name: str) -> None:
        if name in self._present:
            self._present.discard(name)
            await self._extras.stop([name])

    async def close(self) -> None:
        await self._extras.stop()


def second(settings: Settings, name: str) -> Part:
    """The row of a worker's twin."""
    kind = name.removesuffix(TWIN)
    port = settings.ports.worker_metrics(kind)
    return again(settings, kind, name, {"STRONGROOM_METRICS_HOST": TWIN_HOST}, lambda: answers(port, TWIN_HOST))


def again(
    settings: Settings, part: str, name: str, more: dict[str, str], ready: Callable[[], Awaitable[bool]] | None = None
) -> Part:
    """A part of ours once more, under another name and with more in its environment."""
    built = next(row for row in rows.rows(settings) if row.name == part).build(settings)
    return replace(built, name=name, env={**built.env, **more}, ready=ready or built.ready)
