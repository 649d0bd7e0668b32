"""Uploading a model's folder to the Hugging Face hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from huggingface_hub import HfApi


@runtime_checkable
class Hub(Protocol):
    """The part of `huggingface_hub.HfApi` that an upload needs."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> object: ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> object: ...


def upload(save: Callable[[Path], None], name: str, *, private: bool, hub: Hub | None) -> str:
    """Uploads the folder that `save` fills to the repository `user/name`; the commit's address.

    Raises:
        ValueError: the name is no repository's, nobody is logged in, or the hub cannot be reached or refuses.
    """
    if name.count("/") != 1 or name.startswith((".", "/")) or name.endswith("/"):
        raise ValueError(f"expected a repository on the hub, as in user/name, got {name!r}")
    hub = HfApi() if hub is None else hub
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        try:
            hub.create_repo(name, private=private, exist_ok=True)
            done = hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Uploaded by unspoken")
        except Exception as error:  # of the hub's library or of the HTTP library beneath
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{name}: not uploaded: {why}; is this machine logged in (hf auth login)?") from error
    return str(done)
