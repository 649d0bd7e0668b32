"""The methods of the paper's tables, two controls, and the base class of your own.

method                     removed at stage s              stands in its place            stages
------------------------------------------------------------------------------------------------------
CoT                        nothing                         -                              1
OpenedCoT                  nothing; behind a <bot>         -                              1
NoCoT                      every step                      -                              1
ICoT                       the first tokens of the chain   -                              many
Pause                      every step                      n pause tokens                 1
Coconut                    the first s steps               c thoughts for each            0..max, then all
CoconutWithoutCurriculum   every step, from the start      c thoughts for each            1
WithoutThought             the first s steps               nothing, no markers            as Coconut
PauseAsThought             the first s steps               c pause tokens for each        as Coconut
ShuffledThoughts           as Coconut                      thoughts of another row        as Coconut
DetachedThoughts           as Coconut                      thoughts without gradient      as Coconut
"""

from unspoken.methods.base import Method
from unspoken.methods.staged import (
    Coconut,
    CoconutWithoutCurriculum,
    DetachedThoughts,
    Enclosed,
    PauseAsThought,
    ShuffledThoughts,
    StagedRemoval,
    WithoutThought,
)
from unspoken.methods.written import CoT, ICoT, NoCoT, OpenedCoT, Pause

__all__ = [
    "CoT",
    "Coconut",
    "CoconutWithoutCurriculum",
    "DetachedThoughts",
    "Enclosed",
    "ICoT",
    "Method",
    "NoCoT",
    "OpenedCoT",
    "Pause",
    "PauseAsThought",
    "ShuffledThoughts",
    "StagedRemoval",
    "WithoutThought",
]
