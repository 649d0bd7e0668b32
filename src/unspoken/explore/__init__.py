"""One HTML page on which to step through the thoughts of a run.

1. `look.py` runs the model: values, decoded tokens, what it writes when forced into words, and under interventions.
2. `payload.py` says what the page is given; `layered.py` where a graph's nodes are drawn.
3. `page.py` puts that into one file with `template.html`, `style.css` and the scripts beside them.
"""
