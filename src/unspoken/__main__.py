"""`python -m unspoken`, and so `accelerate launch -m unspoken` and `torchrun -m unspoken`."""

from unspoken.cli import main

main()
