# SPDX-License-Identifier: MIT
"""Files from URLs."""

import shutil
from pathlib import Path

from harness.errors import HostError

SILENCE_S = 60.0
_ABSENT = (404, 410)


class NotThere(HostError):
    """A server says that it has no such file."""


def download(url: str, target: Path) -> None:
    """Fetch a file; raises HostError, NotThere by the server's own word."""
    # They take long, and a run that fetches nothing needs none.
    import urllib.request  # noqa: PLC0415
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError  # noqa: PLC0415

    try:
        with urllib.request.urlopen(url, timeout=SILENCE_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, HTTPException, ValueError) as error:
        absent = isinstance(error, HTTPError) and error.code in _ABSENT
        raise (NotThere if absent else HostError)(
            f"cannot fetch {url}", why=str(error), advice="check the network, the disk and the url"
        ) from error
