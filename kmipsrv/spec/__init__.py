"""Items to messages and back: the standard, transcribed. No behaviour lives here.

Tags and enumerations are generated (scripts/gentables); structures, payloads and attributes are tables whose rows carry
the versions that have them, so that no other room asks for a version. Implements the structures of KMIP 1.0-2.1 and of
3.0 as far as its tables say (KMIP 2.1 §§2-12).
"""
