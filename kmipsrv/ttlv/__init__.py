"""Bytes to items and back: the encodings of KMIP (2.1 §9.1 TTLV; Additional Message Encodings 1.0: XML, JSON).

An item is a tag, a type, a length and a value; this room knows nothing of what KMIP means by them. Every decoder is made
for hostile input: bounded depth and count, no quadratic work, and `TTLVError` as the only exception.
"""
