"""The last act of a process. One that has used the Temporal SDK may abort while the interpreter is torn down
(temporalio/sdk-python#300): its exit code would lie. Such a process flushes what it has and ends at once.
"""

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Ends the process with `code`."""
    if "temporalio.bridge" not in sys.modules:
        raise SystemExit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1  # nobody reads any more, as with `| head`
    os._exit(code)
