"""The section `notifications`: what it accepts, and a server process that delivers to a real endpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from kmip import enums

from kmipsrv import app
from kmipsrv.cli.doctor import Level, examine
from kmipsrv.config import Address, Config, load, read
from kmipsrv.domain.notices import Endpoint
from kmipsrv.errors import ConfigError
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.objects import key_material
from kmipsrv.spec.versions import V1_4, V2_1
from tests.cli.conftest import Runner
from tests.cli.test_serve import client, serving
from tests.client.endpoint import HOST, Waiting
from tests.server.pki import authority

FOLDER = Path("/etc/kmipsrv")
ROW: dict[str, object] = {"owner": "default:CN=db", "certificate": "certs/n.pem", "key": "certs/n.key"}


def mistake(*rows: dict[str, object], **more: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read({"notifications": {"endpoints": [*rows], **more}}, FOLDER)
    return str(caught.value)


def test_endpoints_are_read() -> None:
    config = read(
        {"notifications": {"endpoints": [ROW, {**ROW, "address": "[::1]:1", "version": 2.1, "put": True}]}}, FOLDER
    )
    first, second = config.notifications.endpoints
    assert first.address == Address("127.0.0.1", 5697)  # this machine, unless another one is named
    assert (first.ca, first.certificate, first.key) == tuple(
        FOLDER / f"certs/{n}" for n in ("ca.pem", "n.pem", "n.key")
    )
    assert (first.notify, first.put) == (True, False)
    assert app.endpoints(config) == (
        Endpoint("127.0.0.1:5697 default:CN=db", "default:CN=db", V1_4, notify=True, put=False),
        Endpoint("[::1]:1 default:CN=db", "default:CN=db", V2_1, notify=True, put=True),
    )
    assert app.settings(config).endpoints == app.endpoints(config)
    assert app.settings(Config()).endpoints == ()
    assert second.address == Address("::1", 1)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"notify": False}, "endpoints[0]: hears of nothing"),
        ({"version": 1.5}, "endpoints[0].version: 1.5 is not accepted"),
        ({"address": "5697"}, "endpoints[0].address"),
        ({"pust": True}, "did you mean put?"),
    ],
)
def test_mistakes_in_an_endpoint(row: dict[str, object], expected: str) -> None:
    assert expected in mistake({**ROW, **row})


def test_mistakes_in_the_section() -> None:
    assert "endpoints[1]: is there twice" in mistake(ROW, ROW)
    assert "endpoints[0].certificate: is missing" in mistake({"owner": "x"})
    assert "notifications.keep" in mistake(ROW, keep=0)
    assert "notifications.attempts" in mistake(ROW, attempts=0)


def notifying(state: Path, endpoint: dict[str, object]) -> None:
    """Name an endpoint in the configuration that `init` made."""
    file = state / "kmipsrv.yaml"
    values = yaml.safe_load(file.read_text("utf-8"))
    values["notifications"] = {"endpoints": [endpoint], "longest_pause": 1}
    file.write_text(yaml.safe_dump(values), "utf-8")


def test_the_server_does_not_start_with_files_that_are_none(tmp_path: Path, kmipsrv: Runner) -> None:
    state = tmp_path / "state"
    assert kmipsrv("init", state).code == 0
    notifying(state, {**ROW, "certificate": "certs/nothing.pem"})
    with pytest.raises(ConfigError, match=r"notifications\.endpoints\[0\].*nothing\.pem"):
        app.check_endpoints(load(state / "kmipsrv.yaml"))
    run = kmipsrv("serve", "-c", state / "kmipsrv.yaml", "--listen", "127.0.0.1:0")
    assert run.code != 0
    assert "notifications.endpoints[0]" in run.err


def test_the_doctor_looks_at_what_is_shown_to_endpoints(copy: Path) -> None:
    now = datetime.now(UTC)
    certs = copy / "certs"

    def found(certificate: str) -> list[tuple[Level, str]]:
        notifying(copy, {**ROW, "certificate": f"certs/{certificate}.pem", "key": f"certs/{certificate}.key"})
        about = (each for each in examine(copy / "kmipsrv.yaml", now) if each.subject.startswith("endpoint"))
        return [(each.level, each.text) for each in about]

    ((level, text),) = found("client")
    assert (level, str(certs / "client.pem") in text) == (Level.GOOD, True)
    ((level, text),) = found("server")
    assert (level, text.endswith("its extended key usage lacks clientAuth")) == (Level.ERROR, True)
    ((level, text),) = found("nothing")
    assert (level, "nothing.pem" in text) == (Level.ERROR, True)


def test_what_a_server_leaves_undelivered_another_one_delivers(tmp_path: Path, kmipsrv: Runner) -> None:
    state, ca = tmp_path / "state", authority()
    assert kmipsrv("init", state).code == 0
    (state / "certs/endpoint-ca.pem").write_bytes(ca.pem)
    certificate, key = ca.issue("CN=notifier").save(state / "certs", "notifier")
    waiting = Waiting(ca, tmp_path, ca.issue(f"CN={HOST}", server=True))
    waiting.start()
    waiting.stop()  # it has its port and is away
    row = {
        "owner": "default:CN=client",
        "address": f"{HOST}:{waiting.port}",
        "ca": "certs/endpoint-ca.pem",
        "put": True,
    }
    notifying(state, {**row, "certificate": str(certificate), "key": str(key)})
    with serving(state) as (server, port, _), client(state, port) as connection:
        uid = connection.create(enums.CryptographicAlgorithm.AES, 256)
        value = connection.get(uid).value
        server.terminate()
        assert server.wait(10) == 0
    waiting.start()
    try:
        with serving(state):
            (put,) = waiting.await_messages(1)
    finally:
        waiting.stop()
    assert (put.operation, put.payload.unique_identifier) == (Operation.PUT, uid)
    assert key_material(put.payload.managed_object.body.key_block) == value
