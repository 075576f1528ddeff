"""`python -m costaudit`."""

from costaudit.cli import main

main()
