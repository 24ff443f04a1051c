"""Files that a crash leaves old or new, never half."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replaces a file in one step."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
