"""Print the unique identifiers of all one's objects, or of those with a name: locate.py [NAME]."""

from __future__ import annotations

from connection import arguments, connect
from kmip import enums
from kmip.core.factories.attributes import AttributeFactory

options = arguments(__doc__, "name?")
wanted = []
if options.name:
    wanted.append(AttributeFactory().create_attribute(enums.AttributeType.NAME, options.name))
with connect(options) as client:
    for unique_identifier in client.locate(attributes=wanted):
        print(unique_identifier)
