"""The release room: decides whether a key may leave, and proves afterwards why.

The roles are those of RFC 9334 §2. `evidence.py` and `verifiers/` are the Verifier: Evidence and Endorsements go in,
Claims come out or `Refused` is raised. `policy` is the Appraisal Policy: claims go in, a decision comes out. `gate` is
the Relying Party: it alone makes a Grant.

Rules of the room:

1. Time, nonce and endorsements are arguments. Nothing here reads a clock, opens a socket or fetches anything.
2. A trust anchor is never taken from the evidence or from the file that carries it, only from what an operator gave.
3. A check raises `Refused` with the step that failed; nothing that guards a key returns a bool.
4. Every byte of evidence is hostile: sizes, depths and counts are bounded before anything is parsed.
5. The room knows nothing of KMIP: it imports neither `spec` nor `ttlv`.
"""
