"""`python -m agent` is `doorward`."""

from agent.cli import main

main()
