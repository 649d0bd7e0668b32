"""What is in the thoughts, and does the model use them?

1. `stops.py`: where a model can be made to go on in words: after every thought, or every written step.
2. `cache.py`: one batched pass over problems gives everything the analyses read, a `ThoughtCache`.
"""
