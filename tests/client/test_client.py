"""The client against an engine in this process, in every version, and what it does not take for an answer."""

from __future__ import annotations

import pytest

from kmipsrv.client import AttestationRequired, Client, OperationFailed, ProtocolFailure, material
from kmipsrv.client.messages import read_response, request_message
from kmipsrv.operations.create import CreateRequest
from kmipsrv.operations.get_attributes import GetAttributesRequest
from kmipsrv.operations.query import QueryRequest
from kmipsrv.spec.attribute_codec import AttributeReferences
from kmipsrv.spec.enums import (
    AttestationType,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    Operation,
    QueryFunction,
    ResultReason,
    ResultStatus,
    State,
)
from kmipsrv.spec.messages import ResponseBatchItem, ResponseHeader, protocol_version
from kmipsrv.spec.schema import unbind
from kmipsrv.spec.structures import Nonce
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1, Version
from kmipsrv.ttlv.codec import STRUCTURE, encode
from tests.harness import Client as Harness

ENCRYPT = CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT


def speaking(harness: Harness, version: Version = V2_1) -> Client:
    def exchange(frame: bytes) -> bytes:
        answer = harness.raw(frame)
        assert answer is not None
        return answer

    return Client(exchange, version)


@pytest.mark.parametrize("version", list(Version))
def test_a_key_s_life_in_every_version(client: Harness, version: Version) -> None:
    speaker = speaking(client, version)
    uid = speaker.create(CryptographicAlgorithm.AES, 256, ENCRYPT, name=f"key-{version}")
    octets = material(speaker.get(uid))
    assert len(octets) == 32
    assert material(speaker.get(uid)) == octets
    speaker.activate(uid)
    asked = GetAttributesRequest(unique_identifier=uid, attribute_reference=AttributeReferences([Tag.STATE], []))
    found = speaker.call(Operation.GET_ATTRIBUTES, asked)
    assert found.attributes.get(Tag.STATE) is State.ACTIVE
    with pytest.raises(OperationFailed) as refusal:
        speaker.destroy(uid)
    assert refusal.value.operation is Operation.DESTROY
    assert refusal.value.status is ResultStatus.OPERATION_FAILED


def test_the_reason_comes_through(client: Harness) -> None:
    with pytest.raises(OperationFailed, match="Get: Object Not Found") as refusal:
        speaking(client).get("nothing")
    assert refusal.value.reason is ResultReason.OBJECT_NOT_FOUND


def test_a_payload_of_another_operation_is_not_sent(client: Harness) -> None:
    with pytest.raises(TypeError, match="CreateRequest is not"):
        speaking(client).call(Operation.QUERY, CreateRequest.__new__(CreateRequest))


def test_vendor_attributes_go_along(client: Harness) -> None:
    speaker = speaking(client)
    key = ("acme", "Rack")
    uid = speaker.create(CryptographicAlgorithm.AES, 128, ENCRYPT, attributes=[(key, (7, "r-7"))])
    found = speaker.call(Operation.GET_ATTRIBUTES, GetAttributesRequest(unique_identifier=uid))
    assert found.attributes.get(key) == (7, "r-7")


# --- answers --------------------------------------------------------------------------------------------------------

HEADER = ResponseHeader(protocol_version=protocol_version(V2_1), time_stamp=0, batch_count=1)
FAILED = ResponseBatchItem(
    operation=Operation.GET,
    result_status=ResultStatus.OPERATION_FAILED,
    result_reason=ResultReason.ATTESTATION_REQUIRED,
    result_message="attest",
)


def failed(header: ResponseHeader) -> bytes:
    """A Response Message with this header and FAILED."""
    parts = [
        (Tag.RESPONSE_HEADER, STRUCTURE, unbind(header, V2_1)),
        (Tag.BATCH_ITEM, STRUCTURE, unbind(FAILED, V2_1)),
    ]
    return encode((Tag.RESPONSE_MESSAGE, STRUCTURE, parts))


def test_a_challenge_carries_its_nonce_and_types() -> None:
    nonce = Nonce(nonce_id=b"id", nonce_value=bytes(32))
    codes = [AttestationType.TPM_QUOTE, AttestationType.AMD_SEV_SNP_REPORT, AttestationType.SAML_ASSERTION]
    header = ResponseHeader(
        protocol_version=protocol_version(V2_1), time_stamp=0, nonce=nonce, attestation_type=codes, batch_count=1
    )
    with pytest.raises(AttestationRequired) as refusal:
        read_response(failed(header), V2_1, Operation.GET)
    assert (refusal.value.nonce, refusal.value.types) == (nonce, ("tpm", "snp", "SAML Assertion"))


def test_without_a_nonce_it_is_a_refusal_like_others() -> None:
    with pytest.raises(OperationFailed) as refusal:
        read_response(failed(HEADER), V2_1, Operation.GET)
    assert not isinstance(refusal.value, AttestationRequired)
    assert refusal.value.message == "attest"


def test_what_is_no_answer(client: Harness) -> None:
    query = request_message(V2_1, Operation.QUERY, QueryRequest(query_function=[QueryFunction.QUERY_OPERATIONS]))
    good = client.raw(query)
    assert good is not None
    assert Operation.GET in read_response(good, V2_1, Operation.QUERY).payload.operation
    wrong = (b"", good[:-8], good + bytes(8), query, encode((Tag.RESPONSE_MESSAGE, STRUCTURE, [])))
    for data in wrong:
        with pytest.raises(ProtocolFailure):
            read_response(data, V2_1, Operation.QUERY)
    with pytest.raises(ProtocolFailure, match="another operation"):
        read_response(good, V2_1, Operation.GET)
