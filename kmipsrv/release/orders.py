"""Orders: how a release policy that was once set is replaced or removed.

Add, Modify, Set, Adjust and Delete Attribute on it are refused to the owner. What changes it is a statement
(`statements.py`) signed by an administrator, naming the object, the policy it has now and the one it shall have;
loosening is replacing. Approvals for an order are approvals (`approvals.py`) whose `policy` is the order's id and
whose `requester` is the administrator.

1. form            The facts and a signature, nothing else.
2. administrator   The administrator is enrolled; an id that begins with `sha256:` is the hash of the key itself.
3. signature       The enrolled key signed exactly these facts.
4. scope           The order names this object, and the policy that it has now: an order that was carried out, or
   overtaken
                   by another, does not fit any more.
5. time            It was issued before `now`, and has not expired.
6. immutable       The present policy may be replaced at all.

The caller consumes the order's id (single use, `nonces.ConsumedNonces`), so that an order cannot be given a second
time when a policy returns to what it was.
"""

from __future__ import annotations

import binascii
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.release.canonical import Json, NotJson, digest, dumps, loads
from kmipsrv.release.facts import read_time, write_time
from kmipsrv.release.policy import Policy
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PrivateKey, PublicKey, key_id, sign, verify
from kmipsrv.release.verifiers.jws import base64url, encode_base64url

KIND: Final = "kmipsrv-policy-order-v1"
MAX_ORDER: Final = 8 * 1024
SERIAL_SIZE: Final = 16
SKEW: Final = datetime.timedelta(seconds=60)

_TEXTS: Final = ("object", "old", "new", "serial", "administrator", "signature")


@dataclass(frozen=True, slots=True)
class Order:
    """A signed order. `old` and `new` are policy ids; an empty `new` removes the policy."""

    object: str
    old: str
    new: str
    issued: datetime.datetime
    expiry: datetime.datetime
    serial: bytes
    """Random: two orders that say the same are two orders."""
    administrator: str
    signature: bytes

    def body(self) -> dict[str, Json]:
        """What is signed."""
        return {
            "object": self.object,
            "old": self.old,
            "new": self.new,
            "issued": write_time(self.issued),
            "expiry": write_time(self.expiry),
            "serial": encode_base64url(self.serial),
            "administrator": self.administrator,
        }

    @property
    def id(self) -> str:
        """The hash of what is signed: what approvals of the order name, and what is used once."""
        return digest(self.body())

    def encode(self) -> bytes:
        """The order as it is kept and sent: canonical JSON."""
        return dumps({**self.body(), "signature": encode_base64url(self.signature)})

    @classmethod
    def decode(cls, data: bytes) -> Order:
        """Step 1. Raises Refused("form")."""
        try:
            body = loads(data, limit=MAX_ORDER)
            if not isinstance(body, dict) or set(body) != {*_TEXTS, "issued", "expiry"}:
                raise NotJson("not the members of an order")
            if not all(isinstance(body[name], str) for name in _TEXTS):
                raise NotJson("a member is not a string")
            uid, old, new, serial, administrator, signature = (body[name] for name in _TEXTS)
            if not uid or not old or old == new or len(base64url(serial)) != SERIAL_SIZE:
                raise NotJson("an order changes the policy of an object")
            times = read_time(body["issued"]), read_time(body["expiry"])
            return cls(uid, old, new, *times, base64url(serial), administrator, base64url(signature))
        except (NotJson, ValueError, binascii.Error):
            raise Refused("form", "not an order") from None


def order(
    key: PrivateKey,
    *,
    object_identifier: str,
    old: str,
    new: str,
    issued: datetime.datetime,
    expiry: datetime.datetime,
    serial: bytes,
    administrator: str = "",
) -> Order:
    """An order signed with `key`; `serial` is 16 random bytes. `administrator` is by default the key's own id."""
    if not object_identifier or not old or old == new or len(serial) != SERIAL_SIZE:
        raise ValueError("an order names an object, two different policies and a serial of 16 bytes")
    name = administrator or key_id(key.public_key())
    times = issued.replace(microsecond=0), expiry.replace(microsecond=0)
    unsigned = Order(object_identifier, old, new, *times, serial, name, b"")
    return Order(object_identifier, old, new, *times, serial, name, sign(key, KIND, unsigned.body()))


def verify_order(
    given: Order,
    administrators: Mapping[str, PublicKey],
    *,
    object_identifier: str,
    present: Policy,
    now: datetime.datetime,
) -> None:
    """Steps 2 to 6 for the object whose policy is `present`. Raises Refused with the step's name."""
    key = administrators.get(given.administrator)  # 2.
    if key is None:
        raise Refused("administrator", "not an enrolled administrator")
    if given.administrator.startswith("sha256:") and given.administrator != key_id(key):
        raise Refused("administrator", "the enrolled key is not the one that its id names")
    verify(key, KIND, given.body(), given.signature)  # 3.
    if given.object != object_identifier or given.old != present.id:  # 4.
        raise Refused("scope", "given for another object, or for another policy than it has now")
    if now + SKEW < given.issued or now >= given.expiry:  # 5.
        raise Refused("time", "not in force at this time")
    if present.immutable:  # 6.
        raise Refused("immutable", "the policy says that nothing may take its place")
