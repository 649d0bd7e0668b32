"""What a saved model says of itself beyond its weights: `unspoken.json` beside `config.json`."""

from __future__ import annotations

from pathlib import Path
from typing import final

import msgspec

from unspoken.durable import write_whole

FILE_NAME = "unspoken.json"


@final
class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured on this model: the part of a `Summary` that a reader of its card asks for."""

    name: str
    """The evaluation's folder in the run."""
    task: str
    split: str
    num: int
    num_correct: int
    tokens: float
    """Mean tokens written."""
    thoughts: float
    """Mean continuous thoughts."""
    hardware: str = ""
    commit: str | None = None
    """Commit of the code that evaluated."""


@final
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
    base_model: str | None = None
    """What training started from, as its run named it; None: not known, or random weights."""
    stage: int | None = None
    """The stage in which these weights were saved."""
    num_stages: int | None = None
    step: int | None = None
    """Optimizer steps behind these weights, those of a run before not counted."""
    seed: int | None = None
    imported_from: str | None = None
    """The file these weights were imported from; what made it is not known, whatever recipe it was imported as."""
    example: str | None = None
    """A question of the kind the model was trained on."""
    max_new_tokens: int | None = None
    """As many as any of those questions takes to answer."""
    evaluations: tuple[Evaluation, ...] = ()

    def at(self, *, stage: int, step: int) -> Notes:
        """The notes of weights saved at a step of a stage."""
        return msgspec.structs.replace(self, stage=stage, step=step)

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
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: {error}") from error
        if notes.format != 1:
            raise ValueError(f"{path}: format {notes.format} is newer than this version reads (1); update unspoken")
        return notes

    def write(self, folder: Path) -> None:
        """Writes the notes into a model's folder."""
        write_whole(folder / FILE_NAME, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
