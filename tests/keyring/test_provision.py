"""Making a token, twice, interrupted, elsewhere; looking at it; tokens that make their own IVs."""

from __future__ import annotations

import dataclasses
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from kmipsrv.errors import ConfigError
from kmipsrv.keyring import provision
from kmipsrv.keyring.envelope import Record
from kmipsrv.keyring.master import Mechanism
from kmipsrv.keyring.pkcs11 import read_pin
from kmipsrv.keyring.provision import KeyringSettings, check, find_softhsm2, initialise, open_keyring, rotate
from kmipsrv.keyring.software import UnsafeSoftwareKeyring
from tests.keyring.conftest import BINDING, grant


def troubles(settings: KeyringSettings, record: bytes | None = None) -> list[str]:
    return [f"{finding.subject}: {finding.trouble}" for finding in check(settings, record) if finding.trouble]


def test_the_second_time_nothing_is_done(state: Path) -> None:
    first = initialise(state)
    assert len(first.done) == 4
    record = open_keyring(first.settings).check_record()
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file() and path.name != "seals"}
    second = initialise(state)
    assert second.done == []
    assert second.settings == first.settings
    assert {path: path.read_bytes() for path in before} == before
    open_keyring(second.settings).verify_check(record)


def test_only_the_owner_may_read(settings: KeyringSettings, state: Path) -> None:
    for path in [state, *state.rglob("*")]:
        if path.name != "softhsm2.conf":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert len(read_pin(settings.pin_file)) == 32


def test_each_pin_is_random(settings: KeyringSettings, tmp_path: Path) -> None:
    assert read_pin(initialise(tmp_path / "second").settings.pin_file) != read_pin(settings.pin_file)


@pytest.mark.parametrize("step", ["_init_token", "make_version"])
def test_an_interrupted_initialisation_is_finished_by_the_next(
    state: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    whole = getattr(provision, step)

    def interrupted(*args: object, **kwargs: object) -> None:
        whole(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(provision, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            initialise(state)
    assert not (state / "tokens").exists()
    settings = initialise(state).settings
    assert troubles(settings) == []
    assert sorted(path.name for path in state.iterdir()) == ["pin", "seals", "softhsm2.conf", "tokens"]


def test_a_moved_state_directory_is_found_again(settings: KeyringSettings, state: Path, tmp_path: Path) -> None:
    record = open_keyring(settings).check_record()
    moved = tmp_path / "moved"
    state.rename(moved)
    again = initialise(moved)
    assert again.done == [f"wrote {moved / 'softhsm2.conf'}"]
    open_keyring(again.settings).verify_check(record)


def test_a_token_without_its_pin_is_not_made_anew(settings: KeyringSettings, state: Path) -> None:
    settings.pin_file.unlink()
    with pytest.raises(ConfigError, match="PIN file"):
        initialise(state)
    assert (state / "tokens").is_dir()


def test_a_given_pin_is_used(state: Path, tmp_path: Path) -> None:
    pin_file = tmp_path / "credential"
    pin_file.write_text("a pin of my own\n")
    pin_file.chmod(0o600)
    settings = initialise(state, pin_file=pin_file).settings
    assert not (state / "pin").exists()
    assert troubles(settings) == []


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        (0o604, "pin", "chmod 600"),
        (0o600, "", "is empty"),
        (0o600, "\n", "is empty"),
        (0o600, "\xff", "cannot be read"),
    ],
)
def test_pin_files_that_are_refused(tmp_path: Path, mode: int, content: str, words: str) -> None:
    path = tmp_path / "pin"
    path.write_text(content, encoding="latin-1")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        read_pin(path)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"mechanism": "rot13"}, "unknown mechanism"), ({"token_label": "x" * 33}, "1 to 32 bytes")],
)
def test_what_cannot_be_made_is_refused(state: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        initialise(state, **given)  # type: ignore[arg-type]


def test_a_path_that_softhsm_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without #"):
        initialise(tmp_path / "state #1")


def test_another_module_gets_its_master_key_only(settings: KeyringSettings, state: Path, tmp_path: Path) -> None:
    """The operator's own token, here SoftHSM2 again with the configuration that the environment names."""
    elsewhere = tmp_path / "elsewhere"
    made = initialise(elsewhere, module=settings.module, pin_file=settings.pin_file, key_label="another key")
    assert made.done == [
        "made version 1 of the AES-256 master key 'another key' in the token 'kmipsrv'",
        f"made the seal counter {elsewhere / 'seals'}",
    ]
    assert made.settings.softhsm2_conf is None
    assert sorted(path.name for path in elsewhere.iterdir()) == ["seals"]
    sealed = open_keyring(made.settings).seal(b"x", BINDING)
    assert open_keyring(made.settings).open(sealed, BINDING, grant()) == b"x"
    assert troubles(settings) == []


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_a_healthy_keyring_has_no_trouble(settings: KeyringSettings) -> None:
    record = open_keyring(settings).check_record()
    assert [finding.trouble for finding in check(settings, record)] == [None] * 5
    assert len(rotated_versions(settings)) == 1
    assert rotate(settings) == 2
    assert troubles(settings, record) == []


def rotated_versions(settings: KeyringSettings) -> set[int]:
    return {Record.decode(open_keyring(settings).check_record()).version}


def test_each_trouble_has_a_mend(settings: KeyringSettings, state: Path, tmp_path: Path) -> None:
    foreign = UnsafeSoftwareKeyring().check_record()
    assert troubles(settings, foreign) == ["check record: the object cannot be opened"]
    assert "unknown mechanism" in troubles(dataclasses.replace(settings, mechanism="rot13"))[0]
    settings.counter_file.rename(tmp_path / "seals")
    assert "cannot be read" in troubles(settings)[0]
    (state / "tokens").rename(tmp_path / "tokens")
    assert "is not there" in troubles(settings)[0]
    settings.pin_file.unlink()
    (finding,) = check(settings)
    assert finding.trouble is not None
    assert "restore it from the backup" in finding.mend


# --- a token that makes its own IVs ----------------------------------------------------------------------------------

SHIM = r"""
/* SoftHSM2 behind a front that insists on making the IV of AES-GCM, as some network tokens do. */
#include <dlfcn.h>
#include <string.h>
#include <stdlib.h>
typedef unsigned long ulong;
struct list { unsigned char major, minor; void *function[68]; };
struct mechanism { ulong type; void *parameter; ulong length; };
struct gcm { unsigned char *iv; ulong iv_length, iv_bits; unsigned char *aad; ulong aad_length, tag_bits; };
enum { ENCRYPT_INIT = 29 };  /* its place in CK_FUNCTION_LIST */
static struct list ours;
static ulong (*real_init)(ulong, struct mechanism *, ulong);
static ulong init(ulong session, struct mechanism *mechanism, ulong key) {
    static const unsigned char zero[12];
    static unsigned char next;
    if (mechanism != NULL && mechanism->type == 0x1087) {
        struct gcm *gcm = mechanism->parameter;
        if (memcmp(gcm->iv, zero, 12) != 0) return 0x71;  /* CKR_MECHANISM_PARAM_INVALID */
        memset(gcm->iv, ++next, 12);
    }
    return real_init(session, mechanism, key);
}
ulong C_GetFunctionList(struct list **out) {
    struct list *real;
    void *library = dlopen(MODULE, RTLD_NOW);
    ulong (*get)(struct list **) = dlsym(library, "C_GetFunctionList");
    ulong code = get(&real);
    if (code != 0) return code;
    ours = *real;
    real_init = ours.function[ENCRYPT_INIT];
    ours.function[ENCRYPT_INIT] = init;
    *out = &ours;
    return 0;
}
"""


@pytest.fixture
def own_iv_module(tmp_path: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the token that makes its own IVs cannot be built")
    source, module = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    real = shutil.copy(find_softhsm2(), tmp_path / "real.so")  # a library of its own, with a state of its own
    define = f'-DMODULE="{real}"'
    subprocess.run([compiler, "-shared", "-fPIC", define, "-o", module, source, "-ldl"], check=True, timeout=60)
    return module


def test_the_iv_of_a_token_that_makes_it_is_read_back(settings: KeyringSettings, own_iv_module: Path) -> None:
    theirs = dataclasses.replace(settings, module=own_iv_module, mechanism="aes-gcm-token-iv")
    keyring = open_keyring(theirs)
    first, second = (keyring.seal(b"material", BINDING) for _ in range(2))
    assert [Record.decode(record).outer_iv for record in (first, second)] == [b"\1" * 12, b"\2" * 12]
    assert Record.decode(first).mechanism is Mechanism.AES_GCM_TOKEN_IV
    for record in (first, second):
        assert keyring.open(record, BINDING, grant()) == b"material"
    assert "refuses the mechanism" in troubles(dataclasses.replace(theirs, mechanism="aes-gcm"))[0]


def test_a_token_that_makes_no_iv_cannot_be_told_to(settings: KeyringSettings) -> None:
    """An IV of zeros, the same for every seal, must never come out of this."""
    assert "does not make" in troubles(dataclasses.replace(settings, mechanism="aes-gcm-token-iv"))[0]
