"""ProntoQA's language: sentences and what follows from them (`prover.py`), problems drawn (`ontology.py`)."""
