"""The modules that annotate shapes; `conftest.py` has them checked at run time."""

SHAPED = ("attention", "backbones", "batch", "blocks", "generate", "geometry", "model", "slots", "tree", "walk")
