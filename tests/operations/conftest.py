"""Fixtures of the operations' tests: see tests/harness.py. `client` speaks 1.4; `client.at(V2_1)` another version."""
