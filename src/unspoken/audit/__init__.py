"""Does a model use its thoughts? Interventions on what stands in their places, other problems, and a verdict.

1. `slots.py`: prompts whose slots (thoughts, or the pauses in their place) are fed what somebody else decides.
2. `context.py`: problems, what stands in their slots, and who may lend thoughts to whom.
3. `changes.py`, `transplants.py`, `parts.py`, `swaps.py`: the interventions, a class each.
4. `interventions.py`: all of them in a list, and what comes of them (`intervene`).
"""
