"""What is wrong in a data file, and where: `validate.py` finds it, row by row (`rowwise.py`), text by text.

`lengths.py` counts tokens and says what would not fit.
"""
