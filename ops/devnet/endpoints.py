"""Where the parts of an installation are reached."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.settings import Settings


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses as seen from this machine. `nodes`: one by network; a local one takes its faults at /_ctl."""

    api: str
    api_docs: str
    temporal_ui: str
    temporal: str
    nodes: Mapping[str, str]


def endpoints(settings: Settings) -> Endpoints:
    return Endpoints(
        api=settings.api_url,
        api_docs=f"{settings.api_url}/docs",
        temporal_ui=settings.temporal_ui,
        temporal=settings.temporal_target,
        nodes={network: settings.node_urls(network)[0] for network in settings.served},
    )
