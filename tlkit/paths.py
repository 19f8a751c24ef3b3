"""Where tlkit finds what the repository ships, and where it may keep what it computes."""

import os
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
NOTEBOOKS = ROOT / "notebooks"


def cache_folder() -> Path:
    """Folder for what can be computed again: `TLKIT_CACHE`, else the system's cache folder."""
    folder = Path(os.environ.get("TLKIT_CACHE") or user_cache_path("tlkit"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
