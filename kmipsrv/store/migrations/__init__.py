"""Alembic's revisions, run by `store/migrate.py`.

A new one: a file in `versions/` named after its number, `down_revision` the one before it, and `migrate.HEAD` set to it. It
says the change in plain operations and imports nothing of `tables.py`, which moves on. Only forward: who wants to go back
restores the backup.
"""
