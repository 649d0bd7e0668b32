"""Where a run ran: versions, commit, command, hardware kind. Saved as `env.json` in every run folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("unspoken", "torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")


def describe_environment() -> dict[str, Any]:
    """Versions, commit, command and processors, without importing torch; no path and no host name."""
    return {
        "python": platform.python_version(),
        "packages": {name: version_of(name) for name in PACKAGES},
        "commit": _commit(),
        "command": _command(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": os.cpu_count(),
    }


def _command() -> str:
    program = Path(sys.argv[0]).name
    return " ".join(["unspoken" if program in ("unspoken", "__main__.py") else program, *sys.argv[1:]])


def version_of(name: str) -> str | None:
    """An installed package's version; None where it is not installed, as we are when run from our sources."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with `+` where tracked files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def processor_name() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
