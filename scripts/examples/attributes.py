"""Print an object's usual attributes, one a line: attributes.py UNIQUE_IDENTIFIER."""

from __future__ import annotations

from connection import arguments, connect

# PyKMIP 0.11.0 cannot read every attribute that a server may have (Random Number Generator, for one).
READABLE = {
    "Name",
    "State",
    "Object Type",
    "Object Group",
    "Cryptographic Algorithm",
    "Cryptographic Length",
    "Cryptographic Usage Mask",
    "Initial Date",
    "Activation Date",
    "Deactivation Date",
}

options = arguments(__doc__, "unique_identifier")
with connect(options) as client:
    names = client.get_attribute_list(options.unique_identifier)
    _, found = client.get_attributes(options.unique_identifier, sorted(READABLE & set(names)))
    for attribute in found:
        print(f"{attribute.attribute_name.value}: {attribute.attribute_value}")
