"""The audit room: what was decided, in an order and wording that nobody can change afterwards without being found out.

`chain.py` is the arithmetic: each record is bound to the one before it, and the head is signed. `journal.py` keeps the
chain in the store, in the transaction whose answer it vouches for. What a record says is the business of those who write it.
"""
