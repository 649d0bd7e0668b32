"""Word problems a model trained on GSM8K has not seen: SVAMP, GSM-Hard, MultiArith. For testing only.

They are asked in GSM8K's form and judged as GSM8K is, so that a run's model can be evaluated on them as it is. They
have no chains, but for MultiArith, whose files tell the equation. Files are read by `gsm8k.read_problems`, in the
formats they are passed around in: pal's JSON lines, `{input, target}`, MultiArith's own list, and GSM8K's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from unspoken.tasks.base import Split
from unspoken.tasks.gsm8k import NumberProblems


@final
@dataclass(frozen=True, kw_only=True)
class SVAMP(NumberProblems):
    """SVAMP (Patel et al. 2021): 1,000 short problems, worded to mislead. All answers are integers."""

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {"test": "math/svamp.jsonl"}

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        return not isinstance(row, str) and {"input", "target"} <= row.keys() and "code" not in row


@final
@dataclass(frozen=True, kw_only=True)
class GSMHard(NumberProblems):
    """GSM-Hard (Gao et al. 2023, pal): GSM8K's 1,319 test problems with one number replaced by a large one.

    Answers are what a program computed: up to 9,284,017,268,534.4, 146 below zero, 303 with decimals, some of them with
    a float's noise (3244047.0999999996). An integer must be met exactly, decimals within .001, and within one part in a
    thousand where the answer is below 1 (`gsm8k.tolerance`). Many problems no longer make sense (of 16 eggs, 4,933,828
    are baked); they test arithmetic.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {"test": "math/gsmhardv2.jsonl.gz"}

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        return not isinstance(row, str) and {"input", "code", "target"} <= row.keys()


@final
@dataclass(frozen=True, kw_only=True)
class MultiArith(NumberProblems):
    """MultiArith (Roy and Roth 2015): 600 problems of two steps or more.

    Its file is not among the shared data: name it with `--task.test-file MultiArith.json`.
    """

    version: ClassVar[str] = "1"

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        return not isinstance(row, str) and {"sQuestion", "lSolutions"} <= row.keys()
