"""A machine with a TPM 2.0 as attester and as the keeper of the recipient's key, by the tools of tpm2-tools.

The attestation key signs quotes and was enrolled with the server (`kmipsrv attest import … tpm ak.pem`). The recipient's key
never leaves the TPM: what is released to it can be unwrapped on this machine only.

Which TPM is meant says `tcti` (or the environment variable TPM2TOOLS_TCTI): the kernel's by default, `swtpm:path=SOCKET` for
a software TPM.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from kmipsrv.client.attestation import Evidence
from kmipsrv.release.verifiers.tpm import BANKS

TIMEOUT: Final = 60.0  # seconds for one tool; a hardware TPM may take its time
_SIZES: Final = dict(BANKS.values())

Selection = Mapping[str, Sequence[int]]
"""PCRs by bank: {"sha256": [0, 7]}."""


class TpmFailure(Exception):
    """A tool of tpm2-tools is missing or failed; the message has what it said."""


class Tpm:
    """One TPM. Keys are named by a persistent handle ("0x81010002") or a context file."""

    def __init__(self, tcti: str | None = None) -> None:
        self.tcti = tcti
        self._environment = {**os.environ, **({"TPM2TOOLS_TCTI": tcti} if tcti else {})}

    def run(self, *command: object, stdin: bytes = b"") -> bytes:
        """One tool -> its standard output. Raises TpmFailure."""
        words = [str(word) for word in command]
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the words are ours and the caller's
                words, input=stdin, capture_output=True, env=self._environment, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TpmFailure(f"{words[0]}: {error}") from error
        if done.returncode != 0:
            raise TpmFailure(f"{words[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def public_key(self, key: str, form: str = "der") -> bytes:
        """A key's SubjectPublicKeyInfo, in DER or PEM."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "public"
            self.run("tpm2_readpublic", "-Q", "-c", key, "-f", form, "-o", out)
            return out.read_bytes()

    def quote(self, key: str, selection: Selection, qualifying_data: bytes) -> bytes:
        """A quote of the selected PCRs with their values, signed by an attestation key: evidence of type `tpm`."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            message, signature, values = folder / "message", folder / "signature", folder / "values"
            chosen = "+".join(f"{bank}:{','.join(map(str, sorted(rows)))}" for bank, rows in selection.items())
            files = ("-m", message, "-s", signature, "-o", values, "-F", "values")
            self.run("tpm2_quote", "-Q", "-c", key, "-l", chosen, "-q", qualifying_data.hex(), "-g", "sha256", *files)
            evidence = {
                "ak_public": _text(self.public_key(key)),
                "tpm_quote": {
                    "message": _text(message.read_bytes()),
                    "signature": _text(signature.read_bytes()),
                    "pcrs": _by_bank(selection, values.read_bytes()),
                },
            }
        return json.dumps(evidence).encode()

    def decrypt(self, key: str, ciphertext: bytes) -> bytes:
        """RSAES-OAEP decryption with SHA-256 by an RSA key that stays in the TPM."""
        return self.run("tpm2_rsadecrypt", "-c", key, "-s", "oaep-sha256", stdin=ciphertext)  # no file has the key


class TpmAttester:
    """`Attester` by a TPM: a quote over the selected PCRs, with the report data as its extraData."""

    types = ("tpm",)

    def __init__(self, tpm: Tpm, key: str, selection: Selection) -> None:
        self._tpm, self._key, self._selection = tpm, key, selection

    def evidence(self, nonce: bytes, report_data: bytes) -> Evidence:
        """The nonce is inside the report data, which alone a quote has room for. Raises TpmFailure."""
        return Evidence("tpm", self._tpm.quote(self._key, self._selection, report_data))


def _by_bank(selection: Selection, values: bytes) -> dict[str, dict[str, str]]:
    """PCR values one behind the other, in the order of the selection -> {bank: {index: hexadecimal}}."""
    pcrs: dict[str, dict[str, str]] = {}
    at = 0
    for bank, rows in selection.items():
        size = _SIZES[bank]
        for index in sorted(rows):
            pcrs.setdefault(bank, {})[str(index)] = values[at : at + size].hex()
            at += size
    if at != len(values):
        raise TpmFailure(f"tpm2_quote: {len(values)} bytes of PCR values where {at} were selected")
    return pcrs


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
