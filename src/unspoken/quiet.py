"""Keeps libraries' own progress bars and notices out of our terminal output."""

from __future__ import annotations

from transformers.utils import logging


def quiet() -> None:
    """Only errors from transformers, and no progress bars of its own."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
