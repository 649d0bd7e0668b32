"""What is asked. Importing this package makes every task of ours known to `RunConfig.load`."""

from unspoken.tasks import known  # noqa: F401 (for what it imports)
from unspoken.tasks.base import Example, FileTask, Generator, Task, Written
from unspoken.tasks.fork import Fork
from unspoken.tasks.graphs.debiased import Debiased
from unspoken.tasks.graphs.released import Released
from unspoken.tasks.graphs.varied import Varied
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.hops import Hops
from unspoken.tasks.own import HubData, OwnFile
from unspoken.tasks.prontoqa import ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA
from unspoken.tasks.word_problems import WordProblems

__all__ = [
    "GSM8K",
    "Debiased",
    "Example",
    "FileTask",
    "Fork",
    "Generator",
    "Hops",
    "HubData",
    "OwnFile",
    "ProntoQA",
    "ProsQA",
    "Released",
    "SymbolicProntoQA",
    "SymbolicProsQA",
    "Task",
    "Varied",
    "WordProblems",
    "Written",
]
