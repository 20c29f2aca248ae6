"""An administrator's order is carried out: an object gets another release policy, or none (`release/orders.py`).

No KMIP operation does this: it is done on the database, by `kmipsrv release apply`, with the token that holds the master key.
The object's seals follow in the same transaction as the record of it, and an order is carried out once.

1. object     The object is there.
2. order      The order is good for it (`release.orders.verify_order`).
3. approvals  As many approvers as the configuration asks for have approved this order, as its administrator's.
4. policy     The new policy is known.
5. single     The order has not been carried out before.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.ports import Keyring, StoredObject, Work
from kmipsrv.engine.ledger import ORDER
from kmipsrv.release.approvals import Approval, count_approvals
from kmipsrv.release.canonical import loads
from kmipsrv.release.facts import write_time
from kmipsrv.release.gate import Gate
from kmipsrv.release.orders import MAX_ORDER, SKEW, Order, verify_order
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PublicKey
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import TEXT_STRING

KIND = "order"  # of the record in the audit trail


def carry_out(
    order: Order,
    owner: str,
    *,
    work: Work,
    keyring: Keyring,
    gate: Gate,
    administrators: Mapping[str, PublicKey],
    approvals: Iterable[Approval],
    needed: int,
    now: datetime.datetime,
) -> StoredObject:
    """Steps 1 to 5 and the change. `owner` is whose object it is, `approvals` those given with the order beside those kept.

    -> the object as it is now. Raises Refused with the step's name, KmipError."""
    ledger = gate.ledger(work)
    work.lock()
    stored = work.find(owner, order.object)
    if stored is None:  # 1.
        raise Refused("object", "this owner has no object of this unique identifier")
    if not stored.policy:
        raise Refused("scope", "the object has no release policy: its owner sets the first one")
    present = gate.policy(stored.policy, ledger)
    verify_order(order, administrators, object_identifier=order.object, present=present, now=now)  # 2.
    given = [*approvals, *_kept(ledger.approvals(order.object))]
    counted = count_approvals(
        given,
        gate.settings.approvers,
        object_identifier=order.object,
        policy_id=order.id,
        requester=order.administrator,
        now=now,
    )
    if len(counted) < needed:  # 3.
        raise Refused("approvals", f"{len(counted)} of {needed} approvals of {order.id}")
    if order.new:
        new = gate.policy(order.new, ledger)  # 4.
        ledger.keep_policy(new.id, new.canonical())
    if not work.add(ORDER, order.id, b"", expires=int((order.expiry + SKEW).timestamp()) + 1):  # 5.
        raise Refused("single", "the order has been carried out before")
    obj = ManagedObject(stored)
    before, bag = obj.binding, obj.attributes  # which agree with the row as it was
    stored.policy = order.new
    bag.set(RELEASE_POLICY, (TEXT_STRING, order.new) if order.new else None)
    bag.set(Tag.LAST_CHANGE_DATE, int(now.timestamp()))
    obj.mirror()
    if stored.sealed is not None:
        stored.sealed = keyring.reseal(stored.sealed, before, obj.binding)
    work.update(stored, index=True)
    ledger.record(_record(order, owner, [each for each in given if each.approver in counted], now))
    return stored


def _kept(encoded: Iterable[bytes]) -> list[Approval]:
    found = []
    for data in encoded:
        try:
            found.append(Approval.decode(data))
        except Refused:
            continue  # whoever wrote it there: it counts for nothing
    return found


def _record(order: Order, owner: str, approvals: Iterable[Approval], now: datetime.datetime) -> dict[str, Any]:
    return {
        "kind": KIND,
        "time": write_time(now),
        "object": order.object,
        "owner": owner,
        "order": loads(order.encode(), limit=MAX_ORDER),
        "approvals": [loads(each.encode(), limit=MAX_ORDER) for each in approvals],
    }
