"""The master key and the envelope: how key material lies on disk and who can get at it.

Every object's material is sealed by a random data key of its own, and the data key by an AES master key that never
leaves its PKCS#11 token. `envelope.py` is the record and the whole interface (`seal`, `open`, `reseal`); `master.py`
names what it asks of a master key; `pkcs11.py` asks a token (PKCS #11 v2.40) through the library in `cryptoki.py`;
`provision.py` makes the token, the key and the seal counter, and opens a keyring on them; `counter.py` counts the seals
(NIST SP 800-38D §8.3); `software.py` is for unit tests only.

May not enter: the database, messages, policies. Nothing is opened without a Grant; only the release gate makes Grants.
"""
