"""Who is this: client certificates and Credential objects become a `domain.identity.Identity` (KMIP 2.1 §9.11,
§10.3).

Here live the rules by which a certificate names its owner and by which a password is checked. Sockets and TLS
contexts stay outside: `server/tls.py` hands in DER. Clock and randomness are arguments.
"""
