"""`python -m kmipsrv` is the command `kmipsrv`."""

from kmipsrv.cli.main import main

main()
