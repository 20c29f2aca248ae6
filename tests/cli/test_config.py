"""The configuration: what is read, and every way in which a file can be wrong."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmipsrv.config import Address, ClientAuthority, Config, Limits, ReleaseRule, Token, address, load, read
from kmipsrv.errors import ConfigError

HASH = "scrypt$32768$8$1$c2FsdHNhbHRzYWx0c2FsdA==$aGFzaA=="
FOLDER = Path("/etc/kmipsrv")


def mistakes(values: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(values, FOLDER)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_an_empty_file_is_all_defaults_on_loopback(tmp_path: Path) -> None:
    file = tmp_path / "kmipsrv.yaml"
    file.write_text("", encoding="utf-8")
    config = load(file)
    assert config.listen == Address("127.0.0.1", 5696)
    assert config.https is None
    assert config.limits == Limits()
    assert config.folder == config.state == tmp_path
    assert config.tls.certificate == tmp_path / "certs/server.pem"
    assert config.tls.client_ca == (ClientAuthority(file=tmp_path / "certs/ca.pem"),)
    assert config.database_url == f"sqlite:///{tmp_path}/kmipsrv.db"


def test_values_and_relative_paths_are_read() -> None:
    config = read(
        {
            "listen": "[::1]:5700",
            "https": "localhost:0",
            "state": "var",
            "database": {"url": "sqlite:///data/objects.db"},
            "token": {"module": "lib/hsm.so", "pin_file": "pin", "mechanism": "aes-kwp"},
            "tls": {"min_version": 1.3, "client_ca": [{"file": "/ca.pem", "domain": "hypervisors"}]},
            "limits": {"read_timeout": 5, "connections": 7},
            "time_stamp_skew": 300,
            "identities": [
                {"domain": "hypervisors", "names": "CN=a", "owner": "ann"},
                {"domain": "hypervisors", "names": ["CN=b", "CN=c"], "owner": "bob"},
            ],
            "users": [{"username": "Fred", "password": HASH}],
            "release": {"policies": "release", "rules": [{"policy": "tpm", "name": "vm-*"}]},
        },
        FOLDER,
    )
    assert (config.listen, config.https) == (Address("::1", 5700), Address("localhost", 0))
    assert str(config.listen) == "[::1]:5700"
    assert config.state == FOLDER / "var"
    assert config.database_url == "sqlite:////etc/kmipsrv/data/objects.db"
    assert config.token.module == "/etc/kmipsrv/lib/hsm.so"
    assert config.token.pin_file == FOLDER / "pin"
    assert config.tls.min_version == "1.3"  # YAML reads 1.3 as a number
    assert config.tls.client_ca[0] == ClientAuthority(file=Path("/ca.pem"), domain="hypervisors")
    assert (config.limits.read_timeout, config.limits.connections) == (5.0, 7)
    assert config.time_stamp_skew == 300
    assert [rule.names for rule in config.identities] == [("CN=a",), ("CN=b", "CN=c")]
    assert config.release.policies == FOLDER / "release"
    assert config.release.rules == (ReleaseRule(policy="tpm", name="vm-*"),)


def test_a_bare_module_name_is_left_for_the_loader() -> None:
    token = read({}, FOLDER).token
    assert token.module == "libsofthsm2.so"
    assert token.module_path().is_file()
    assert Token(module="libnothere.so").module_path() == Path("libnothere.so")
    assert Token(module="/opt/hsm.so").module_path() == Path("/opt/hsm.so")


def test_a_configuration_cannot_be_changed() -> None:
    config = read({}, FOLDER)
    with pytest.raises(FrozenInstanceError):
        config.limits.connections = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        config.release.rules = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"tls": {"min_version": 1.1}}, "tls.min_version: 1.1 is not accepted; use 1.2 or 1.3"),
        ({"listn": 1}, "listn: there is no such setting; did you mean listen?"),
        ({"limits": {"conections": 1}}, "limits.conections: there is no such setting; did you mean connections?"),
        ({"listen": "5696"}, "listen: '5696' is not accepted; use host:port, such as 127.0.0.1:5696 or [::1]:5696"),
        ({"listen": "a:65536"}, "listen: 'a:65536' is not accepted; use host:port, such as"),
        ({"https": True}, "https: True is not accepted; use off, or host:port"),
        ({"workers": True}, "workers: True is not accepted; use a whole number from 1 to 256"),
        ({"workers": 0}, "workers: 0 is not accepted; use a whole number from 1 to 256"),
        ({"workers": 1.5}, "workers: 1.5 is not accepted; use a whole number"),
        ({"interop": "yes"}, "interop: 'yes' is not accepted; use true or false"),
        ({"limits": {"idle_timeout": float("nan")}}, "limits.idle_timeout: nan is not accepted; use seconds from 1 to"),
        ({"limits": 3}, "limits: 3 is not accepted; use a mapping of connections,"),
        ({"state": ""}, "state: '' is not accepted; use a path"),
        ({"database": {"url": "mysql://x"}}, "database.url: the value is not accepted; use off, or a URL such as"),
        (
            {"token": {"mechanism": "aes-cbc"}},
            "token.mechanism: 'aes-cbc' is not accepted; use aes-gcm or aes-gcm-token-iv or aes-kwp",
        ),
        ({"token": {"pin_file": "a", "credential": "b"}}, "token: pin_file and credential are both given"),
        ({"tls": {"client_ca": []}}, "tls.client_ca: is empty"),
        ({"tls": {"client_ca": [{"domain": "a"}]}}, "tls.client_ca[0].file: is missing; use a path"),
        ({"tls": {"client_ca": "ca.pem"}}, "tls.client_ca: 'ca.pem' is not accepted; use a list, each of file, domain"),
        ({"tls": {"client_ca": [{"file": "a"}] * 2}}, "tls.client_ca: the trust domain 'default' is there twice"),
        ({"tls": {"client_ca": [{"file": "a", "domain": "a:b"}]}}, "tls.client_ca[0].domain: 'a:b' is not accepted"),
        ({"identities": [{"domain": "x", "names": "CN=a", "owner": "a"}]}, "identities[0].domain: 'x' is no domain"),
        ({"https": "127.0.0.1:5696"}, "https: 127.0.0.1:5696 is taken by another door"),
        ({"identities": [{"names": [], "owner": "a"}]}, "identities[0].names: [] is not accepted; use a list of one"),
        (
            {"identities": [{"names": "CN=a", "owner": "a"}, {"names": "CN=a", "owner": "b"}]},
            "identities[1].names: 'CN=a' has an owner already",
        ),
        ({"users": [{"username": "a", "password": HASH}] * 2}, "users: username 'a' is there twice"),
        ({"devices": [{"password": HASH}]}, "devices[0]: matches every device; give at least one identifier"),
        (
            {"tls": {"denied": ["ab:cd"]}},
            "tls.denied: ['ab:cd'] is not accepted; use off, or a list of one or more, each the SHA",
        ),
        ({"release": []}, "release: [] is not accepted; use a mapping"),
        ({"release": {"rules": [{"name": "a"}]}}, "release.rules[0].policy: is missing"),
        ({1: 2}, "1: there is no such setting; accepted: listen,"),
        ([], "the file: [] is not accepted; use a mapping of listen,"),
    ],
)
def test_a_mistake_names_its_path_its_value_and_what_is_accepted(values: object, mistake: str) -> None:
    found = mistakes(values)
    assert len(found) == 1
    assert found[0].startswith(mistake)


def test_all_mistakes_are_reported_at_once() -> None:
    found = mistakes({"listen": 1, "tls": {"kee": 2, "min_version": 3}, "users": [{}, 4]})
    assert [line.split(":")[0] for line in found] == [
        "listen",
        "tls.kee",
        "tls.min_version",
        "users[0].username",
        "users[1]",
    ]


def test_a_plain_password_is_refused_and_not_repeated() -> None:
    found = mistakes({"users": [{"username": "Fred", "password": "password1"}]})
    assert found[0].startswith("users[0].password: the value is not accepted; use off, or a record made by")
    assert "password1" not in found[0]


def test_secrets_are_not_in_the_repr() -> None:
    config = read(
        {"users": [{"username": "Fred", "password": HASH}], "database": {"url": "postgresql://u:hunter2@h/d"}}, FOLDER
    )
    assert config.database_url == "postgresql://u:hunter2@h/d"
    assert HASH not in repr(config)
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("listen: a:1\nlisten: b:2\n", "the key 'listen' is there twice"),
        ("limits: {nesting: 32, nesting: 33}\n", "the key 'nesting' is there twice"),
        ("listen: [", "not YAML"),
        ("? [a]\n: 1\n", "not YAML"),
        ("!!python/object:os.system {}", "not YAML"),
        ("[" * 5000, "not YAML"),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_not_yaml_is_one_clear_line(tmp_path: Path, text: str, mistake: str) -> None:
    file = tmp_path / "kmipsrv.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=mistake) as caught:
        load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory\); `kmipsrv init DIR` makes one"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5696", ("127.0.0.1", 5696)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
        ("kms.example:0", ("kms.example", 0)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected
    assert str(address(text)) == text


KEYS = st.sampled_from([row.name for row in fields(Config)] + ["file", "names", "owner", "username", "x"])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def read_or_none(values: object) -> Config | None:
    try:
        return read(values, FOLDER)
    except ConfigError:
        return None


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, PLAIN))
def test_any_values_give_a_config_or_a_config_error(values: dict[str, object]) -> None:
    config = read_or_none(values)
    assert config is None or config == read(values, FOLDER)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_config_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    message = str(file)
    try:
        load(file)
    except ConfigError as error:
        message = str(error)
    assert message.startswith(str(file))


# --- the PIN --------------------------------------------------------------------------------------------------------


def test_the_pin_is_in_a_file_or_a_systemd_credential(tmp_path: Path) -> None:
    assert Token(pin_file=tmp_path / "pin").pin_path({}) == tmp_path / "pin"
    assert Token(credential="token-pin").pin_path({"CREDENTIALS_DIRECTORY": "/run/c"}) == Path("/run/c/token-pin")
    with pytest.raises(ConfigError, match="systemd passed no credentials"):
        Token(credential="token-pin").pin_path({})
    with pytest.raises(ConfigError, match="give pin_file or credential"):
        Token().pin_path({})


# --- the commented example ------------------------------------------------------------------------------------------


def test_a_config_survives_a_round_trip_through_yaml(tmp_path: Path) -> None:
    values = {"listen": "127.0.0.1:5696", "tls": {"min_version": "1.2", "client_ca": [{"file": "ca.pem"}]}}
    file = tmp_path / "kmipsrv.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert load(file) == read(values, tmp_path)
