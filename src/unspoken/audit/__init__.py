"""Does a model use its thoughts? Interventions on what stands in their places, other problems, and a verdict.

1. `slots.py`: prompts whose slots (thoughts, or the pauses in their place) are fed what somebody else decides.
2. `context.py`: problems, what stands in their slots, and who may lend thoughts to whom.
3. `changes.py`, `transplants.py`, `parts.py`, `swaps.py`: the interventions, a class each.
4. `interventions.py`: all of them in a list, and what comes of them (`intervene`).
5. `effects.py`: each beside the problems left alone, paired. `steering.py`: thoughts pushed along directions.
   `beyond.py`: problems that the run was not trained on, with the shortcuts there.
6. `verdict.py`: what the figures say, in plain words. `report.py`, `figures.py`, `page.py`, `run.py`: on disk.
"""
