"""The command line: the one interface that people, the scripts and systemd use.

`main.py` is the group and the exit codes; each command is a file of its own, loaded when it is called, so that
`kmipsrv --version` loads next to nothing. What a command needs beside the rooms is here too: `certificates.py` (RFC 5280)
makes the throw-away authority and what it signs, `files.py` writes files whole or not at all, `process.py` hardens the
process, sets logging up and speaks to systemd (sd_notify(3)).

May not enter: anything that the server needs while it serves; that is `kmipsrv.app`.
"""
