"""Speed, measured: the published way of working, ours, and ordinary fine-tuning, side by side on the same weights.

    python -m benchmarks --help
    make bench                     # the tiny shape, minutes on two cores
    make bench-all                 # every shape, into benchmarks/runs/, and a dated page beside it

published.py    the published way of working, re-implemented, as the yardstick
ways.py         every way that is measured: published, ours, stock fine-tuning and stock `generate`
shapes.py       the models and problems it is measured on
measure.py      timing in turns, counting operators, peak memory
floors.py       what the arithmetic and the memory traffic alone would take on this machine
parts.py        training, decoding, memory, data path; growth.py: time against thoughts, length, rows, vocabulary
run.py          one run, into one folder; results.py says what is in it
page.py         results.json -> a page and a table; figures.py -> figures

Not installed with the package: it imports `unspoken`, nothing in `unspoken` imports it.
"""
