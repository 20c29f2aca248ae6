"""Encrypt (KMIP 2.1 §6.1.17, 1.4 §4.29), from 1.2 on: with a symmetric key, or to a public key or certificate."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.crypto import asymmetric, ciphers
from kmipsrv.crypto.one_time_pad import OneTimePad
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import ENCRYPT
from kmipsrv.operations._parts import CorrelationValue, Indicator, Start, begin
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import algorithm_of, open_encrypting, require_cipher
from kmipsrv.operations._whole import Whole
from kmipsrv.spec.enums import CryptographicAlgorithm, Data, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference, Identifier, since
from kmipsrv.spec.versions import V1_2, V1_4


@structure
class EncryptRequest:
    unique_identifier: Identifier | None = None
    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    iv_counter_nonce: ByteString | None = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None
    authenticated_encryption_additional_data: Annotated[ByteString | None, since(V1_4)] = None


@structure
class EncryptResponse:
    unique_identifier: Identifier
    data: ByteString | None = None
    iv_counter_nonce: ByteString | None = None
    correlation_value: CorrelationValue = None
    authenticated_encryption_tag: Annotated[ByteString | None, since(V1_4)] = None


@operation(Operation.ENCRYPT, since=V1_2)
def encrypt(ctx: Context, request: EncryptRequest) -> EncryptResponse:
    iv, aad = request.iv_counter_nonce, request.authenticated_encryption_additional_data
    legacy = ctx.settings.allow_legacy_algorithms

    def start(given: Start) -> ciphers.Encryption | OneTimePad | Whole:
        key = open_encrypting(ctx, given.obj)
        if isinstance(key, bytes):
            algorithm = algorithm_of(given.obj, key, given.parameters)
            require_cipher(given.obj, algorithm)
            if algorithm is CryptographicAlgorithm.ONE_TIME_PAD:
                if iv or aad:
                    raise KmipError(
                        Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "a One Time Pad has neither IV nor additional data"
                    )
                return OneTimePad(key, given.parameters, allow_legacy=legacy)
            return ciphers.start_encryption(
                algorithm, key, given.parameters, random=ctx.random, iv=iv, aad=aad or b"",
                allow_legacy=legacy, max_buffered=given.limit(ctx),
            )  # fmt: skip
        public = key
        if iv or aad:
            raise KmipError(Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "RSA has neither IV nor additional data")
        return Whole(
            lambda data: asymmetric.encrypt(public, given.parameters, data, random=ctx.random, allow_legacy=legacy)
        )

    fields = {"IV/Counter/Nonce": iv, "Authenticated Encryption Additional Data": aad}
    part = begin(ctx, request, ENCRYPT, start, first_only=fields)
    made = part.state.update(part.data)
    if part.last:
        made += part.state.finalize()
    return EncryptResponse(
        unique_identifier=part.unique_identifier,
        data=part.output(ctx, Data.ENCRYPT, made),
        iv_counter_nonce=part.state.iv if part.first else None,
        correlation_value=part.correlation(ctx),
        authenticated_encryption_tag=part.state.tag if part.last else None,
    )
