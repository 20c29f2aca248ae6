"""Message in, message out: header rules, the batch loop, the ID Placeholder, errors (KMIP 2.1 §§8, 9; 1.4 §§6, 11).

Synchronous, driven by one thread, with time and randomness as arguments. It knows the operations' registry and the ports,
never a socket or a database.
"""
