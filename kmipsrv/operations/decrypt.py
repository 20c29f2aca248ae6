"""Decrypt (KMIP 2.1 §6.1.11, 1.4 §4.30), from 1.2 on.

The parts of a stream under an authenticated cipher are answered as they come, which is what a stream is for: the last
part alone says whether they were authentic, and a client takes none of them for good before that.
"""

from __future__ import annotations

from typing import Annotated

from kmipsrv.crypto import asymmetric, ciphers
from kmipsrv.crypto.one_time_pad import OneTimePad
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import DECRYPT
from kmipsrv.operations._parts import CorrelationValue, Indicator, Start, begin
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import algorithm_of, open_decrypting, require_cipher
from kmipsrv.operations._whole import Whole
from kmipsrv.spec.enums import CryptographicAlgorithm, Data, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference, Identifier, since
from kmipsrv.spec.versions import V1_2, V1_4


@structure
class DecryptRequest:
    unique_identifier: Identifier | None = None
    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    iv_counter_nonce: ByteString | None = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None
    authenticated_encryption_additional_data: Annotated[ByteString | None, since(V1_4)] = None
    authenticated_encryption_tag: Annotated[ByteString | None, since(V1_4)] = None


@structure
class DecryptResponse:
    unique_identifier: Identifier
    data: ByteString | None = None
    correlation_value: CorrelationValue = None


@operation(Operation.DECRYPT, since=V1_2)
def decrypt(ctx: Context, request: DecryptRequest) -> DecryptResponse:
    iv, tag = request.iv_counter_nonce, request.authenticated_encryption_tag
    aad = request.authenticated_encryption_additional_data
    legacy = ctx.settings.allow_legacy_algorithms

    def start(given: Start) -> ciphers.Decryption | OneTimePad | Whole:
        key = open_decrypting(ctx, given.obj)
        if isinstance(key, bytes):
            algorithm = algorithm_of(given.obj, key, given.parameters)
            require_cipher(given.obj, algorithm)
            if algorithm is CryptographicAlgorithm.ONE_TIME_PAD:
                if iv or aad or tag:
                    raise KmipError(
                        Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "a One Time Pad has neither IV nor tag nor additional data"
                    )
                return OneTimePad(key, given.parameters, allow_legacy=legacy)
            return ciphers.start_decryption(
                algorithm, key, given.parameters, iv=iv, aad=aad or b"", tag=tag,
                allow_legacy=legacy, max_buffered=given.limit(ctx),
            )  # fmt: skip
        private = key
        if iv or aad or tag:
            raise KmipError(Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "RSA has neither IV nor tag nor additional data")
        return Whole(lambda data: asymmetric.decrypt(private, given.parameters, data, allow_legacy=legacy))

    fields = {
        "IV/Counter/Nonce": iv,
        "Authenticated Encryption Additional Data": aad,
        "Authenticated Encryption Tag": tag,
    }
    part = begin(ctx, request, DECRYPT, start, first_only=fields)
    made = part.state.update(part.data)
    if part.last:
        made += part.state.finalize()
    return DecryptResponse(
        unique_identifier=part.unique_identifier,
        data=part.output(ctx, Data.DECRYPT, made),
        correlation_value=part.correlation(ctx),
    )
