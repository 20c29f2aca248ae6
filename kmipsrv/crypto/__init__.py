"""Pure cryptography on bytes: keys, parameters and data go in, bytes come out.

Implements the algorithms that KMIP 2.1 names (§3.4-3.12 transparent keys, §4.16 Cryptographic Parameters,
§7.12 Derivation Parameters, §7.18 Key Wrapping, §11 enumerations, §13.1 Split Key Algorithms) and the post-quantum
ones of KMIP 3.0, through `cryptography` (OpenSSL) and tables keyed by the enumerations of `kmipsrv.spec.enums`.

Rules of the room:

1. No I/O, no clock, no randomness of its own: `random(n) -> bytes` is an argument wherever the caller's generator
   may be used. (OpenSSL draws its own for key pairs, signatures and asymmetric padding; it cannot be told otherwise.)
2. A parameter is used or refused, never ignored (`parameters.Parameters.only`).
3. Checks raise; nothing returns a bool. A signature or MAC that does not match is `NotAuthentic`.
4. The only exception that leaves is `KmipError`; a library's exceptions are mapped once, in `failures`. No message
   holds key material, plaintext or a foreign exception's text.
5. Work that a request can ask for is bounded by an argument.

What may not enter: managed objects, attributes, states, TTLV, configuration.
"""
