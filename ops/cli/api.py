"""`strongroom api`: the REST API as a process."""

from adapters.settings import Settings

DRAIN_S = 25


def command() -> None:
    """Serve the REST API; SIGTERM drains."""
    import uvicorn

    settings = Settings()
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=settings.api_host,
        port=settings.api_bind_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
