"""A real Jupyter server for the browser, with settings, runtime files and notebooks of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nbformat

PROJECT = Path(__file__).parents[2]
BUILT = PROJECT / "lpf_ipython" / "lab" / "built"
TOKEN = "a-token"


class Server:
    """JupyterLab and Notebook 7 in a directory of their own."""

    def __init__(self, directory: Path, *options: str, python: str = sys.executable) -> None:
        self.directory = directory
        self.notebooks = directory / "notebooks"
        self.notebooks.mkdir()
        extensions = directory / "labextensions"
        extensions.mkdir()
        # The installed copies may be older.
        (extensions / "jupyterlab-lpf").symlink_to(BUILT)
        enabled = directory / "config" / "jupyter_server_config.d" / "lpf_ipython.json"
        enabled.parent.mkdir(parents=True)
        enabled.symlink_to(BUILT.with_name("server.json"))
        self.set("@jupyterlab/apputils-extension:notification", fetchNews="false")
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(
            [
                *(python, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                f"--ServerApp.port={self.port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={self.notebooks}",
                f"--IdentityProvider.token={TOKEN}",
                f"--LabServerApp.extra_labextensions_path={extensions}",
                *options,
            ],
            env={**os.environ, **_directories(directory), "PYTHONPATH": str(directory)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def set(self, plugin: str, **settings: Any) -> None:
        """Change the user's settings of a plugin, for pages that are opened from then on."""
        package, _, name = plugin.partition(":")
        path = self.directory / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))

    def new_notebook(self, name: str, *cells: str) -> str:
        """Write a notebook with these code cells; its name."""
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.kernelspec = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(notebook, self.notebooks / f"{name}.ipynb")
        return f"{name}.ipynb"

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Any:
        """Send a request to the REST interface, with the token; the answer's JSON."""
        request = urllib.request.Request(
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", **headers},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def end_kernels(self) -> None:
        """Shut all kernels down."""
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")
        for kernel in self.ask("api/kernels"):
            self.ask(f"api/kernels/{kernel['id']}", "DELETE")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                self.ask("api/status")
                return
            except (urllib.error.URLError, ConnectionError):
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < end, self.log()
                time.sleep(0.1)

    def log(self) -> str:
        """Return what the server has written so far."""
        return (self.directory / "log").read_text()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _directories(directory: Path) -> dict[str, str]:
    names = {
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    return {variable: str(directory / name) for variable, name in names.items()}
