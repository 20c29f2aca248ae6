"""One file per operation (KMIP 2.1 §6): request, response, handler. Importing the package registers them all.

A handler gets a `Context` and its bound request, raises KmipError or returns its response payload. It reaches the store,
the keyring and the gate only through the Context, knows no socket and no database, and asks for no protocol version: the
tables of its payloads carry those.
"""
