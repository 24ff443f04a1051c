"""What an operator may set from outside. Environment first, then `.env` in the checkout, then the defaults below.

Every variable is `STRONGROOM_<FIELD>`; Temporal's and OpenTelemetry's own names are honoured as they are. A secret can
be read from a file instead: `STRONGROOM_DATABASE_URL_FILE=/run/secrets/database_url`. `.env.example` is generated from
this model (`strongroom config example`).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from adapters.catalogue import read_rows
from domain.crash_points import ORDERED
from domain.crash_points import parse as parse_crash_point
from domain.errors import Refused, Unavailable

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "STRONGROOM_"
DATABASE_ROLE = "strongroom"
WORKER_KINDS = ("orchestrator", "books", "chain", "signer")
SOLIDITY = "_solidity"  # after a network's name: the nodes that only tell what is solid
COMMAND_VARIABLES = frozenset({"STRONGROOM_API_KEY"})  # read by a command, no setting of an installation


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each part listens on 127.0.0.1: fixed distances from one base; two checkouts differ by one number."""

    base: int

    @property
    def postgres(self) -> int:
        return self.base

    @property
    def temporal(self) -> int:
        return self.base + 1

    @property
    def temporal_ui(self) -> int:
        return self.base + 2

    @property
    def api(self) -> int:
        return self.base + 5

    @property
    def temporal_http(self) -> int:
        return self.base + 7

    @property
    def temporal_metrics(self) -> int:
        return self.base + 8

    def worker_metrics(self, kind: str) -> int:
        """Where the worker of `kind` serves /metrics."""
        return self.base + 10 + WORKER_KINDS.index(kind)


class Settings(BaseSettings):
    """One process's view of the outside. Build it once at the edge and hand parts of it inwards."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ROOT / ".env",
        env_nested_delimiter="__",
        populate_by_name=True,
        extra="ignore",
        frozen=True,
    )

    # ---- where things are
    profile: Literal["devnet", "production"] = Field(
        default="devnet", description="`devnet` lays the [devnet.*] rows of ops/*.toml over the production ones."
    )
    state_dir: Path = Field(
        default=ROOT / ".state",
        description="Databases, keys, logs and locks of this installation; made with mode 0700.",
    )
    port_base: int = Field(
        default=17430, ge=1024, le=65000, description="First of 50 ports on 127.0.0.1; give each checkout its own."
    )

    catalogue_dir: Path = Field(
        default=ROOT / "ops", description="Where networks.toml, assets.toml, policy.toml and signer.toml are read from."
    )

    # ---- database
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL 15 or newer, postgresql://user:password@host/name. Set: none is started here.",
    )
    database_pool_max: int = Field(default=16, ge=1, le=500, description="Connections that one process may hold.")

    # ---- Temporal
    temporal_address: str | None = Field(
        default=None,
        validation_alias=AliasChoices("TEMPORAL_ADDRESS", "temporal_address"),
        description="host:port of a Temporal frontend. Set: no development server is started here.",
    )
    temporal_namespace: str = Field(
        default="default",
        validation_alias=AliasChoices("TEMPORAL_NAMESPACE", "temporal_namespace"),
        description="Namespace of all our workflows.",
    )
    temporal_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("TEMPORAL_API_KEY", "temporal_api_key"),
        description="API key of the namespace (Temporal Cloud); turns TLS on.",
    )
    temporal_tls: bool = Field(
        default=False,
        validation_alias=AliasChoices("TEMPORAL_TLS", "temporal_tls"),
        description="Speak TLS to Temporal.",
    )
    temporal_tls_server_ca_cert_path: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "temporal_tls_server_ca_cert_path"),
        description="PEM of the authority that signed the server's certificate, when it is a private one.",
    )
    temporal_tls_client_cert_path: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("TEMPORAL_TLS_CLIENT_CERT_PATH", "temporal_tls_client_cert_path"),
        description="PEM of our client certificate (mutual TLS).",
    )
    temporal_tls_client_key_path: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("TEMPORAL_TLS_CLIENT_KEY_PATH", "temporal_tls_client_key_path"),
        description="PEM of our client key (mutual TLS).",
    )
    temporal_ui_url: str | None = Field(
        default=None,
        description="Where people open the Temporal UI, for links; found by itself with the development server.",
    )
    codec_key_file: Path | None = Field(
        default=None,
        description="Keys that encrypt Temporal payloads; <state_dir>/keys/codec.json unless set. Mode 0600.",
    )

    # ---- networks and their nodes
    networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="The networks that are worked on here, separated by commas, of those in networks.toml; all unless"
        " given. An API takes no new withdrawals for another one; what was accepted waits until somebody works on it.",
    )
    nodes: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        default_factory=dict,
        description="JSON-RPC addresses per network, separated by commas, as STRONGROOM_NODES__ETHEREUM=http://a,http://b."
        " TRON has full nodes (STRONGROOM_NODES__TRON) and solidity nodes (STRONGROOM_NODES__TRON_SOLIDITY)."
        " Set: no local chain is started for that network.",
    )
    anvil_bin: Path | None = Field(
        default=None, description="An anvil 1.7 or newer for the local EVM networks; found by itself on Linux x86_64."
    )
    bitcoind: Path | None = Field(
        default=None,
        description="A bitcoind 29 or newer for the local Bitcoin; fetched by itself from Debian on Linux x86_64.",
    )
    block_time_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Seconds between blocks of the local chains; 0 mines each transaction at once.",
    )

    # ---- API
    api_host: str = Field(default="127.0.0.1", description="Address the API binds to.")
    api_port: int | None = Field(default=None, description="Port the API binds to; port base + 5 unless set.")
    api_public_url: str | None = Field(
        default=None, description="How browsers and clients reach the API, when it is behind a proxy."
    )

    api_rate_per_minute: int = Field(
        default=6000, ge=1, description="Calls that one API key may make in any minute, in each API process."
    )
    codec_needs_key: bool = Field(
        default=False, description="Payloads are opened for the Temporal UI only with an API key, on this machine too."
    )

    # ---- signer
    signer_dir: Path | None = Field(
        default=None,
        description="The signer's private directory: keystores, roster, its own table. <state_dir>/signer unless set.",
    )
    roster_file: Path | None = Field(
        default=None, description="The approvers as the books know them; <state_dir>/roster.toml unless set."
    )

    # ---- telemetry
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe record written."
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address the workers serve /metrics on; 0.0.0.0 inside a container."
    )
    metrics_port: int | None = Field(
        default=None, description="Port a worker serves /metrics on; one of the port base's for its kind unless set."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
        description="OTLP/HTTP collector for traces, as http://localhost:4318. Unset: none are exported.",
    )

    # ---- for those who try to break it
    crash_at: str | None = Field(
        default=None,
        description="Where a process dies by SIGKILL, once, as name or name:nth, or `ordered`: where it is told to"
        " while it runs. Only with the devnet profile.",
    )

    @field_validator(
        "state_dir",
        "catalogue_dir",
        "codec_key_file",
        "signer_dir",
        "roster_file",
        "anvil_bin",
        "bitcoind",
        mode="after",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @model_validator(mode="after")
    def _crashes_only_where_nothing_is_at_stake(self) -> "Settings":
        if not self.crash_at:
            return self
        if self.profile != "devnet":
            raise Refused("CONFIG_INVALID", f"{PREFIX}CRASH_AT kills processes; it is for the devnet profile alone.")
        if self.crash_at == ORDERED:
            return self
        try:
            parse_crash_point(self.crash_at)
        except ValueError as error:
            raise Refused("CONFIG_INVALID", f"{PREFIX}CRASH_AT: {error}.") from error
        return self

    @field_validator("nodes", mode="before")
    @classmethod
    def _by_comma(cls, rows: Mapping[str, str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {
            network: tuple(u.strip() for u in urls.split(",") if u.strip()) if isinstance(urls, str) else tuple(urls)
            for network, urls in rows.items()
        }

    @classmethod
    def on(cls, networks: str | None) -> Self:
        """The settings from outside; `networks`, separated by commas, wins over STRONGROOM_NETWORKS."""
        return cls(networks=tuple(networks.split(","))) if networks else cls()

    @field_validator("networks", mode="before")
    @classmethod
    def _names_by_comma(cls, names: str | Sequence[str]) -> tuple[str, ...]:
        return tuple(name.strip() for name in (names.split(",") if isinstance(names, str) else names) if name.strip())

    @model_validator(mode="after")
    def _networks_are_known(self) -> Self:
        if self.networks or self.nodes:  # files are read only when there is something to look up
            known = network_rows(self.catalogue_dir, self.profile)
            nodes = {f"{PREFIX}NODES__{name.upper()}": name.removesuffix(SOLIDITY) for name in self.nodes}
            named = [*((f"{PREFIX}NETWORKS", name) for name in self.networks), *nodes.items()]
            for variable, network in named:
                if network not in known:
                    raise ValueError(f"{variable}: unknown network {network}; we serve {', '.join(known)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls), dotenv_settings

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these same settings; only what was set from outside."""
        found: dict[str, str] = {}
        for name in sorted(self.model_fields_set):
            value, variable = getattr(self, name), variable_of(name, type(self).model_fields[name])
            if isinstance(value, dict):
                found |= {f"{variable}__{key.upper()}": ",".join(rows) for key, rows in value.items()}
            elif isinstance(value, SecretStr):
                found[variable] = value.get_secret_value()
            elif isinstance(value, tuple):
                found[variable] = ",".join(value)
            elif value is not None:
                found[variable] = str(value)
        return found

    # ------------------------------------------------------------ what follows from the above
    @property
    def ports(self) -> Ports:
        return Ports(self.port_base)

    @property
    def starts_postgres(self) -> bool:
        return self.database_url is None

    @property
    def starts_temporal(self) -> bool:
        return self.temporal_address is None

    @property
    def served(self) -> tuple[str, ...]:
        """The networks that are worked on here, in the order of networks.toml."""
        return tuple(id_ for id_ in network_rows(self.catalogue_dir, self.profile) if id_ in (self.networks or (id_,)))

    def starts_chain(self, network: str) -> bool:
        """Whether a local node of `network` belongs to this installation."""
        return self.profile == "devnet" and network in self.served and not self.nodes.get(network)

    def local_ports(self, network: str) -> tuple[int, ...]:
        """The ports of a local node, the one where clients ask first. Raises Refused CONFIG_INVALID for a network whose
        row names none.
        """
        row = network_rows(self.catalogue_dir, self.profile).get(network, {})
        if "ports" not in row:
            raise Refused(
                "CONFIG_INVALID", f"Give {network} a local node: `ports` under [devnet.{network}] of networks.toml."
            )
        return tuple(self.port_base + at for at in row["ports"])

    @property
    def temporal_target(self) -> str:
        """host:port of the Temporal frontend, ours or the given one."""
        return self.temporal_address or f"127.0.0.1:{self.ports.temporal}"

    @property
    def temporal_ui(self) -> str:
        return self.temporal_ui_url or f"http://127.0.0.1:{self.ports.temporal_ui}"

    @property
    def dsn(self) -> str:
        """The database as asyncpg takes it. Raises Unavailable DATABASE_UNKNOWN before the first start."""
        if self.database_url is not None:
            return self.database_url.get_secret_value().replace("postgresql+asyncpg://", "postgresql://", 1)
        try:
            password = self.database_password_file.read_text().strip()
        except FileNotFoundError:
            raise Unavailable(
                "DATABASE_UNKNOWN",
                "There is no database yet: start one with `strongroom up`, or set STRONGROOM_DATABASE_URL.",
            ) from None
        return f"postgresql://{DATABASE_ROLE}:{quote(password)}@127.0.0.1:{self.ports.postgres}/{DATABASE_ROLE}"

    @property
    def sqlalchemy_url(self) -> str:
        """The same database as SQLAlchemy takes it."""
        return self.dsn.replace("postgresql://", "postgresql+asyncpg://", 1)

    @property
    def database_password_file(self) -> Path:
        return self.state_dir / "postgres.password"

    def node_urls(self, network: str) -> tuple[str, ...]:
        """The nodes of `network`; the local chain's when none were given. Raises Unavailable NODE_UNKNOWN."""
        if urls := self.nodes.get(network):
            return urls
        if self.profile == "devnet":
            return (f"http://127.0.0.1:{self.local_ports(network)[0]}",)
        raise Unavailable(
            "NODE_UNKNOWN", f"Say where a node of {network} is: {PREFIX}NODES__{network.upper()}.", network=network
        )

    def chain_urls(self, network: str) -> tuple[str, ...]:
        """The nodes of `network` as its adapter takes them: "full|solid" where solid state is told by nodes of its own.
        Raises Refused CONFIG_NODES when the two lists do not pair up.
        """
        full, solid = self.node_urls(network), self.nodes.get(f"{network}{SOLIDITY}")
        if not solid:
            return full
        if len(solid) != len(full):
            raise Refused("CONFIG_NODES", f"Name as many solidity nodes of {network} as full nodes, in the same order.")
        return tuple("|".join(pair) for pair in zip(full, solid, strict=True))

    @property
    def api_bind_port(self) -> int:
        return self.api_port or self.ports.api

    @property
    def api_url(self) -> str:
        return (self.api_public_url or f"http://127.0.0.1:{self.api_bind_port}").rstrip("/")

    @property
    def codec_url(self) -> str:
        """Where the Temporal UI has payloads decoded: a route of the API."""
        return f"{self.api_url}/codec"

    @property
    def codec_keys(self) -> Path:
        return self.codec_key_file or self.state_dir / "keys" / "codec.json"

    @property
    def signer_home(self) -> Path:
        return self.signer_dir or self.state_dir / "signer"

    @property
    def roster(self) -> Path:
        """The books' own list of approvers; the signer has another, in its private directory."""
        return self.roster_file or self.state_dir / "roster.toml"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"


def network_rows(folder: Path, profile: str) -> dict[str, Any]:
    """The rows of networks.toml by network, the profile's laid over them. Raises Refused CONFIG_INVALID."""
    path = folder / "networks.toml"
    try:
        return _rows_of(path, profile, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise Refused("CONFIG_INVALID", f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=16)
def _rows_of(path: Path, profile: str, _changed_ns: int) -> dict[str, Any]:
    return read_rows(path, profile)


class _SecretFiles(PydanticBaseSettingsSource):
    """`<VARIABLE>_FILE` gives a secret by the file that holds it, as container platforms hand secrets over."""

    @cached_property
    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            path = os.environ.get(f"{variable_of(name, field)}_FILE")
            if path and is_secret(field):
                try:
                    found[name] = Path(path).read_text().strip()
                except OSError as error:
                    raise Refused(
                        "CONFIG_INVALID", f"{variable_of(name, field)}_FILE={path} cannot be read: {error.strerror}."
                    ) from error
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._found.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self._found)


def variable_of(name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{PREFIX}{name.upper()}"


def is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """STRONGROOM_* variables that nothing reads: most likely a slip of the pen."""
    known = COMMAND_VARIABLES | {variable_of(name, field) for name, field in Settings.model_fields.items()}
    known |= {f"{variable_of(n, f)}_FILE" for n, f in Settings.model_fields.items() if is_secret(f)}
    maps = [name for name, field in Settings.model_fields.items() if "dict[" in str(field.annotation)]
    nested = tuple(f"{PREFIX}{name.upper()}__" for name in maps)
    return sorted(v for v in environ if v.startswith(PREFIX) and v not in known and not v.startswith(nested))
