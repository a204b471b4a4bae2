"""For the Jupyter server: a way into a kernel whose threads do not get to run, and quiet requests.

``POST {base}/lpf/signal/{kernel id}`` sends a kernel the signal that pauses its running cell, for
the moment when C code keeps the interpreter to itself and the control channel is not served. The
signal goes to the kernel's whole process group; SIGURG is ignored wherever nobody has asked for it.

    204   sent; that the cell is paused is told by the kernel, as always
    403   not logged in, from another site, or not allowed to execute in kernels
    404   there is no such kernel
    501   this kernel cannot be sent a signal, such as one behind a gateway

The server also learns that the requests of `messages` say nothing about what a kernel is doing: else
one that computes would look idle after each of them.
"""

from __future__ import annotations

import signal
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from .messages import REQUESTS

__all__ = ["SignalHandler"]

_KERNEL_ID = r"(?P<kernel_id>[\w-]+)"


class SignalHandler(APIHandler):  # type: ignore[misc, unused-ignore]
    """Sends the pause signal to one kernel. In the server's event loop."""

    auth_resource = "kernels"

    @web.authenticated
    @authorized(action="execute")  # type: ignore[untyped-decorator, unused-ignore]
    async def post(self, kernel_id: str) -> None:
        """Send it."""
        if kernel_id not in self.kernel_manager:
            raise web.HTTPError(404, f"there is no kernel {kernel_id}")
        # A gateway's kernels have no provisioner here: their processes are somebody else's.
        if getattr(self.kernel_manager.get_kernel(kernel_id), "provisioner", None) is None:
            raise web.HTTPError(501, "this kernel cannot be sent a signal: it runs elsewhere")
        try:
            await ensure_async(self.kernel_manager.signal_kernel(kernel_id, signal.SIGURG))
        except (AttributeError, NotImplementedError, RuntimeError, OSError) as problem:
            raise web.HTTPError(
                501, f"this kernel cannot be sent a signal ({type(problem).__name__}: {problem})"
            ) from problem
        self.set_status(204)
        self.finish()


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"]
    route = url_path_join(base, "lpf", "signal", _KERNEL_ID)
    server.web_app.add_handlers(".*$", [(route, SignalHandler)])
    untracked = getattr(server.kernel_manager, "untracked_message_types", None)
    if untracked is not None:
        more = [name for name in REQUESTS if name not in untracked]
        server.kernel_manager.untracked_message_types = [*untracked, *more]
