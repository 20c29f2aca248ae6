"""From the configuration's `token` to what the keyring asks for."""

from __future__ import annotations

from kmipsrv.config import Token
from kmipsrv.keyring.provision import KeyringSettings


def keyring_settings(token: Token) -> KeyringSettings:
    """What `kmipsrv.keyring.provision` needs to open the token; ConfigError if no PIN is named."""
    return KeyringSettings(
        module=token.module_path(),
        token_label=token.label,
        key_label=token.key_label,
        pin_file=token.pin_path(),
        counter_file=token.seal_counter,
        mechanism=token.mechanism,
        softhsm2_conf=token.softhsm2_conf,
    )
