"""Object Group Member of Locate: fresh members and the default member of an Object Group (KMIP 2.1 §6.1.28, §11.33).

The server's policy: fresh members are served oldest first; the default member is the next one in turn, round robin over the
group's members in the order of their creation; in the groups of `Settings.generated_groups` a new AES-256 key is made when
no fresh member is left.
"""

from __future__ import annotations

from kmipsrv.crypto import keygen
from kmipsrv.domain.creation import NewObject, seal_body
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.matching import Rest
from kmipsrv.domain.search import Expression
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import CryptographicAlgorithm, CryptographicUsageMask, KeyFormatType, ObjectType
from kmipsrv.spec.objects import KeyBlock, SymmetricKey, plain_key_value
from kmipsrv.spec.search_codec import SearchTerms
from kmipsrv.spec.tags import Tag

TURN = "object group turn"  # kind of the record that keeps whose turn it was
GENERATED_BITS = 256


def all_found(ctx: Context, where: Expression, rest: list[Rest]) -> list[str]:
    """The unique identifiers of all hits, newest first."""
    found = (ManagedObject(stored) for stored in ctx.work.scan(ctx.identity.owner, where))
    return [obj.unique_identifier for obj in found if all(holds(obj) for holds in rest)]


def group_of(terms: SearchTerms) -> str:
    """The Object Group that Object Group Member speaks of. Raises KmipError(INVALID_FIELD)."""
    groups = [term.value for term in terms if term.key is Tag.OBJECT_GROUP]
    if len(groups) != 1:
        raise KmipError(Cause.INVALID_FIELD, "Object Group Member goes with one Object Group")
    group: str = groups[0]
    return group


def next_member(ctx: Context, group: str, where: Expression, rest: list[Rest]) -> tuple[int, list[str]]:
    """-> (1, [the member whose turn it is]), or (0, []) for a group without members."""
    ctx.work.lock()  # or two processes would serve the same member in the same turn
    members = all_found(ctx, where, rest)[::-1]
    if not members:
        return 0, []
    owner = ctx.identity.owner
    key = f"{len(owner)}:{owner}:{group}"
    last = (ctx.work.read(TURN, key) or b"").decode()
    chosen = members[(members.index(last) + 1) % len(members)] if last in members else members[0]
    ctx.work.write(TURN, key, chosen.encode(), owner=owner)
    return 1, [chosen]


def make_fresh(ctx: Context, group: str) -> bool:
    """Make a new member where the configuration says so: "the server MAY choose to generate a new object on-the-fly"."""
    if group not in ctx.settings.generated_groups:
        return False
    bag = AttributeBag()
    bag.set(Tag.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.AES)
    bag.set(Tag.CRYPTOGRAPHIC_LENGTH, GENERATED_BITS)
    bag.set(Tag.CRYPTOGRAPHIC_USAGE_MASK, CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT)
    bag.add(Tag.OBJECT_GROUP, group)
    block = KeyBlock(
        key_format_type=KeyFormatType.RAW,
        key_value=plain_key_value(keygen.generate_symmetric(CryptographicAlgorithm.AES, GENERATED_BITS, ctx.random)),
        cryptographic_algorithm=CryptographicAlgorithm.AES,
        cryptographic_length=GENERATED_BITS,
    )
    new = NewObject(ObjectType.SYMMETRIC_KEY, bag, ctx.settings, generated=True)
    ctx.insert(seal_body(new, SymmetricKey(key_block=block)))
    return True
