"""What a saved model says of itself beyond its weights: `unspoken.json` beside `config.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

FILE_NAME = "unspoken.json"


class Notes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model was trained to think. The defaults are those of a model never trained by us."""

    format: int = 1
    after_question: tuple[str, ...] = ()
    """Marker tokens between question and text in the last stage of training, thoughts included."""
    question_format: str = "{question}\n"
    """How a question is written before thoughts or text follow."""
    recipe: str | None = None
    method: str | None = None
    task: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Notes:
        """The notes in a model's folder, or the defaults where there are none.

        Raises:
            ValueError: the file is there but malformed, or of a newer format.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return cls()
        try:
            notes = msgspec.json.decode(path.read_bytes(), type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ValueError(f"{path}: {error}") from error
        if notes.format != 1:
            raise ValueError(f"{path}: format {notes.format} is newer than this version reads (1); update unspoken")
        return notes

    def write(self, folder: Path) -> None:
        """Writes the notes into a model's folder."""
        (folder / FILE_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
