"""`python -m gnp COMMAND`, the same as `gnp COMMAND`."""

from gnp.main.cli import main

main()
