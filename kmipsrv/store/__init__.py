"""Where objects lie: `domain.ports.Store` and `Work` on a relational database, by SQLAlchemy Core and Alembic.

`tables.py` is the schema, `migrations/` how a file gets there, `statements.py` the statements that are compiled once,
`work.py` one transaction, `locate.py` search expressions as SQL, `sqlite.py` and `postgresql.py` the two databases.

The room knows rows, owners and index values; it knows neither messages nor what an attribute means, and it never sees key
material in clear: what it keeps of an object is sealed. Nothing here may import `spec` or another adapter.
"""
