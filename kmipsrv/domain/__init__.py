"""What a key is: the rules of KMIP and NIST SP 800-57 about managed objects, without any I/O.

Here live the managed object, its lifecycle, its attributes' rules, the search expressions of Locate and the Protocols
(`ports.py`) through which operations reach the store, the keyring and the gate. No clock, no randomness, no database, no
socket enters: they are arguments. `grant.py`, `binding.py` and `identity.py` import nothing, so that every adapter may
know them.
"""
