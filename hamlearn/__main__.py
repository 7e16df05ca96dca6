"""``python -m hamlearn`` is the shell command."""

from hamlearn.cli import main

main()
