"""One HTML page on which to step through the thoughts of a run."""
