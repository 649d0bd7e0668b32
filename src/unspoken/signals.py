"""Ctrl-C and SIGTERM as a wish to stop, not as an exception in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final


@final
class Interrupted(Exception):
    """Training was stopped by Ctrl-C or SIGTERM; everything is saved and the message says how to go on."""

    def __init__(self, message: str, asked: signal.Signals) -> None:
        super().__init__(message)
        self.asked = asked
        """The signal that came."""

    @property
    def exit_code(self) -> int:
        """0 for SIGTERM, whose sender is content with a process that has saved and gone; 130, as usual, for Ctrl-C."""
        return 0 if self.asked == signal.SIGTERM else 130


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM raises what Ctrl-C does, so that whoever is writing a file takes it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@final
class Stop:
    """Whether somebody asked to stop, and how."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        """The first signal that came."""


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Notes the first Ctrl-C or SIGTERM; a Ctrl-C after that stops at once, as usual.

    A further SIGTERM changes nothing: batch systems send several.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: Any) -> None:
        if stop.asked is None:
            stop.asked = signal.Signals(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
