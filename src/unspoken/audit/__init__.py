"""Does a model use its thoughts? Interventions, other problems, and what the evidence supports."""
