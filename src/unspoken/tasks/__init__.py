"""What is asked. Importing this package makes every task of ours known to `RunConfig.load`."""

from unspoken.tasks.base import Example, Task, Written
from unspoken.tasks.fork import Fork
from unspoken.tasks.hops import Hops
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA

__all__ = ["Example", "Fork", "Hops", "ProsQA", "SymbolicProsQA", "Task", "Written"]
