"""The table of tests/operations/test_error_tables.py: errors of single operations and how each is provoked.

Sources: 1.4 §11 for the classic reasons, 2.1 §6.1.x "Error Handling" for the modern ones.
"""

from __future__ import annotations

from tests.operations.errors import attributes, common, cryptography, keys, making, newer, wrapping
from tests.operations.errors.table import LIMIT, ROWS, Row

__all__ = ["LIMIT", "ROWS", "Row", "attributes", "common", "cryptography", "keys", "making", "newer", "wrapping"]
