"""The server's part: who may send a kernel the pause signal, and what it is thought to be doing."""

from __future__ import annotations

import http.cookiejar
import importlib.metadata
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_core.utils import ensure_event_loop

from lab.server import TOKEN, Server
from lpf_ipython.client import Cells

pytestmark = pytest.mark.slow

# A server with an authorizer of its own: everybody may look, nobody may execute.
READERS = """
from jupyter_server.auth import Authorizer
class Readers(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != "execute"
"""


# A provisioner that cannot pass signals on.
UNHEARD = """
from signal import SIGURG
from jupyter_client.provisioning import LocalProvisioner
class Unheard(LocalProvisioner):
    async def send_signal(self, signum):
        if signum == SIGURG:
            raise PROBLEM
        await super().send_signal(signum)
"""
UNHEARD_ENTRY_POINT = "[jupyter_client.kernel_provisioners]\nunheard = unheard:Unheard\n"


@pytest.fixture(scope="module", autouse=True)
def loop_of_jupyter_client() -> Iterator[None]:
    """jupyter_client makes an event loop for its blocking calls and leaves it open."""
    yield
    ensure_event_loop().close()


@pytest.fixture
def kernel(server: Server) -> Iterator[str]:
    """The id of a kernel of the server."""
    kernel: str = server.ask("api/kernels", "POST", {"name": "python3"})["id"]
    yield kernel
    server.end_kernels()


@pytest.fixture
def client(server: Server, kernel: str) -> Iterator[BlockingKernelClient]:
    """A client beside the server, with lpf loaded in the kernel."""
    file = server.directory / "runtime" / f"kernel-{kernel}.json"
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    # A heart that beats late on a busy machine is no reason to give up.
    client.start_channels(hb=False)
    client.wait_for_ready(timeout=60)
    client.execute("%load_ext lpf", reply=True, timeout=60)
    yield client
    client.stop_channels()


def status_of(request: urllib.request.Request, opener: Any = urllib.request) -> int:
    try:
        send = getattr(opener, "open", None) or opener.urlopen
        with send(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        problem.close()
        return problem.code


def signal(server: Server, kernel: str, **headers: str) -> urllib.request.Request:
    return urllib.request.Request(
        f"{server.url}/lpf/signal/{kernel}", method="POST", data=b"", headers=headers
    )


def token() -> dict[str, str]:
    return {"Authorization": f"token {TOKEN}"}


def test_the_signal_pauses_the_running_cell(
    server: Server, kernel: str, client: BlockingKernelClient
) -> None:
    client.execute("print('go', flush=True)\nwhile True:\n    pass")
    while (message := client.get_iopub_msg(timeout=20))["msg_type"] != "stream":
        pass
    assert status_of(signal(server, kernel, **token())) == 204
    while (message := client.get_iopub_msg(timeout=20))["msg_type"] != "lpf_state":
        pass
    assert (message["content"]["state"], message["content"]["reason"]) == ("paused", "signal")


def test_a_kernel_without_lpf_does_not_mind(server: Server, kernel: str) -> None:
    assert status_of(signal(server, kernel, **token())) == 204
    assert server.ask(f"api/kernels/{kernel}")["id"] == kernel


def test_without_a_token_it_is_refused(server: Server, kernel: str) -> None:
    assert status_of(signal(server, kernel)) == 403
    assert status_of(signal(server, kernel, Authorization="token guessed")) == 403


@pytest.mark.parametrize("name", ["00000000-0000-0000-0000-000000000000", "no", "a.b", "..%2Fx"])
def test_kernels_that_are_not_there(server: Server, name: str) -> None:
    assert status_of(signal(server, name, **token())) == 404


def test_it_cannot_be_asked_for_from_another_site(server: Server, kernel: str) -> None:
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    browser.open(f"{server.url}/lab?token={TOKEN}", timeout=30).close()
    known = {cookie.name: cookie.value or "" for cookie in cookies}
    assert status_of(signal(server, kernel), browser) == 403
    xsrf = {"X-XSRFToken": known["_xsrf"]}
    foreign = signal(server, kernel, Origin="http://elsewhere.example", **xsrf)
    assert status_of(foreign, browser) in (403, 404)
    assert status_of(signal(server, kernel, **xsrf), browser) == 204


def test_who_may_not_execute_may_not_pause(tmp_path: Path) -> None:
    (tmp_path / "readers.py").write_text(READERS)
    server = Server(tmp_path, "--ServerApp.authorizer_class=readers.Readers")
    try:
        kernel = server.ask("api/kernels", "POST", {"name": "python3"})["id"]
        assert status_of(signal(server, kernel, **token())) == 403
        server.end_kernels()
    finally:
        server.close()


def test_a_kernel_behind_a_gateway_cannot_be_sent_a_signal(
    server: Server, kernel: str, tmp_path: Path
) -> None:
    gateway = (f"--GatewayClient.url={server.url}", f"--GatewayClient.auth_token={TOKEN}")
    front = Server(tmp_path, *gateway)
    try:
        behind = front.ask("api/kernels", "POST", {"name": "python3"})["id"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            front.ask(f"lpf/signal/{behind}", "POST")
        with refused.value as answer:
            assert answer.code == 501
            assert "cannot be sent a signal: it runs elsewhere" in answer.read().decode()
        assert status_of(signal(front, "no-such-kernel", **token())) == 404
    finally:
        front.close()


@pytest.mark.parametrize("problem", ["NotImplementedError('here')", "PermissionError(1, 'here')"])
def test_a_provisioner_that_cannot_signal_says_so(tmp_path: Path, problem: str) -> None:
    (tmp_path / "unheard.py").write_text(UNHEARD.replace("PROBLEM", problem))
    distribution = tmp_path / "unheard-1.dist-info"
    distribution.mkdir()
    (distribution / "entry_points.txt").write_text(UNHEARD_ENTRY_POINT)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: unheard\nVersion: 1\n")
    server = Server(tmp_path, "--KernelProvisionerFactory.default_provisioner_name=unheard")
    try:
        kernel = server.ask("api/kernels", "POST", {"name": "python3"})["id"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.ask(f"lpf/signal/{kernel}", "POST")
        with refused.value as answer:
            assert answer.code == 501
            assert "cannot be sent a signal" in answer.read().decode()
        server.end_kernels()
    finally:
        server.close()


def test_the_settings_know_the_version_of_the_buttons(server: Server) -> None:
    # Read by JupyterLab from what is beside the schema: package.json.orig, in the wheel too.
    [ours] = [
        each
        for each in server.ask("lab/api/settings")["settings"]
        if each["id"] == "jupyterlab-lpf:plugin"
    ]
    assert ours["version"] == importlib.metadata.version("lpf-ipython")


def test_a_kernel_that_is_looked_at_stays_busy(
    server: Server, kernel: str, client: BlockingKernelClient
) -> None:
    def state() -> Any:
        return server.ask(f"api/kernels/{kernel}")["execution_state"]

    client.execute("while True:\n    pass")
    while state() != "busy":
        pass
    cells = Cells(client)
    for _ in range(20):
        cells.jobs()
        assert state() == "busy"
