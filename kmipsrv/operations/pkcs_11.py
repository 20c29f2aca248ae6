"""PKCS#11 (KMIP 2.1 §6.1.37, §11.38): the calls that open, describe and close the library.

Every other function of PKCS#11 3.0 is answered as a library answers a function that it does not have
(CKR_FUNCTION_NOT_SUPPORTED); cryptography goes through KMIP's own operations. C_Initialize begins a session of the
client's, whose Correlation Value the later calls carry.
"""

from __future__ import annotations

from typing import Annotated, Final

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import AnyEnumeration, AnyItem, ByteString, TextString, wire
from kmipsrv.spec.versions import V2_1, V3_0
from kmipsrv.ttlv.codec import ENUMERATION

RECORD: Final = "PKCS#11 session"
KEPT: Final = 86400  # seconds
CORRELATION: Final = 16  # bytes

# "the 1-based offset count of the function in the CK_FUNCTION_LIST_3_0 structure"
C_INITIALIZE, C_FINALIZE, C_GET_INFO = 1, 2, 3
FUNCTIONS: Final = 92  # in that structure
INTERFACE: Final = "PKCS 11"  # the default one's name there

OK, ARGUMENTS_BAD, NOT_SUPPORTED, NOT_INITIALIZED, ALREADY_INITIALIZED = 0x00, 0x07, 0x54, 0x190, 0x191  # CK_RV

CRYPTOKI: Final = (2, 40)
LIBRARY: Final = (1, 0)


@structure
class Pkcs11Request:
    pkcs_11_interface: TextString | None = None
    pkcs_11_function: AnyItem
    correlation_value: ByteString | None = None
    pkcs_11_input_parameters: ByteString | None = None


@structure
class Pkcs11Response:
    pkcs_11_interface: TextString | None = None
    pkcs_11_function: AnyEnumeration
    correlation_value: ByteString | None = None
    echoed: Annotated[ByteString | None, wire(Tag.CORRELATION_VALUE, V3_0)] = None  # PKCS11-M-1 of 3.0, not of 2.1
    pkcs_11_output_parameters: ByteString | None = None
    pkcs_11_return_code: AnyEnumeration


@operation(Operation.PKCS_11, since=V2_1)
def pkcs_11(ctx: Context, request: Pkcs11Request) -> Pkcs11Response:
    if request.pkcs_11_interface not in (None, INTERFACE):
        raise KmipError(Cause.PKCS_11_INVALID_INTERFACE, f"the only interface is {INTERFACE!r}")
    kind, function = request.pkcs_11_function
    if kind != ENUMERATION or not 1 <= function <= FUNCTIONS:
        raise KmipError(Cause.PKCS_11_INVALID_FUNCTION, "PKCS#11 3.0 has no such function")
    answer = Pkcs11Response(
        pkcs_11_interface=request.pkcs_11_interface, pkcs_11_function=function, pkcs_11_return_code=OK
    )
    session, parameters = request.correlation_value, request.pkcs_11_input_parameters
    key = f"{ctx.identity.owner}\n{(session or b'').hex()}"
    known = session is not None and ctx.work.read(RECORD, key) is not None
    if function == C_INITIALIZE:
        answer.pkcs_11_return_code, answer.correlation_value = _initialize(ctx, parameters, known)
        return answer
    answer.echoed = session
    if not known:
        answer.pkcs_11_return_code = NOT_INITIALIZED
    elif function not in (C_FINALIZE, C_GET_INFO):
        answer.pkcs_11_return_code = NOT_SUPPORTED
    elif parameters:
        answer.pkcs_11_return_code = ARGUMENTS_BAD  # pReserved of C_Finalize "should be set to NULL_PTR"
    elif function == C_FINALIZE:
        ctx.work.remove(RECORD, key)
    else:
        settings = ctx.settings
        answer.pkcs_11_output_parameters = information(settings.pkcs_11_manufacturer, settings.pkcs_11_description)
    return answer


def _initialize(ctx: Context, parameters: bytes | None, known: bool) -> tuple[int, bytes | None]:
    """C_Initialize. Its arguments are the client's own threads and locks: there or not is all that is sent."""
    if known:
        return ALREADY_INITIALIZED, None
    if parameters not in (None, b"", b"\x00", b"\x01"):
        return ARGUMENTS_BAD, None
    session = ctx.random(CORRELATION)
    owner = ctx.identity.owner
    ctx.work.write(RECORD, f"{owner}\n{session.hex()}", b"", owner=owner, expires=ctx.now + KEPT)
    return OK, session


def information(manufacturer: str, description: str) -> bytes:
    """CK_INFO: cryptokiVersion, manufacturerID, flags, libraryDescription, libraryVersion; texts padded with blanks."""
    return b"".join((bytes(CRYPTOKI), _padded(manufacturer), bytes(8), _padded(description), bytes(LIBRARY)))


def _padded(text: str) -> bytes:
    """32 bytes of UTF-8; a character that does not fit is left out whole."""
    return text.encode()[:32].decode(errors="ignore").encode().ljust(32)
