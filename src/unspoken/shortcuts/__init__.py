"""Answering without solving: what gets how much right on a set of problems, and what that says of a score.

- `graphs.py`: heuristics on ProsQA's graphs; `clues.py` is what they may look at.
- `prontoqa.py`, `guesses.py`, `numbers.py`: those of ProntoQA, of closed answers and choices, of numbers.
- `learned.py`: regressions and trees, out of fold (`folds.py`, `options.py`).
- `probes.py`: which of them a set of problems allows; `findings.py`: what each of them gets right.
- `audit.py`: all of it with intervals, chance and luck, as a table with a verdict; `figure.py` draws it.
"""
