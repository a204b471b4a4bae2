"""``papermill --engine lpf``: papermill, with limits in a cell's metadata and tags. See `nbclient`."""

from __future__ import annotations

from typing import Any

from papermill.clientwrap import (  # type: ignore[import-untyped, unused-ignore]
    PapermillNotebookClient,
)
from papermill.engines import NBClientEngine  # type: ignore[import-untyped, unused-ignore]
from papermill.log import logger  # type: ignore[import-untyped, unused-ignore]

from .nbclient import SendsMetadata

__all__ = ["Engine"]

# What papermill passes on that is no option of a notebook client, or goes by another name there.
_NOT_PASSED = ("input_path", "start_timeout", "execution_timeout")


class _Client(SendsMetadata, PapermillNotebookClient):  # type: ignore[misc, unused-ignore]
    """Papermill's client, which sends the metadata."""


class Engine(NBClientEngine):  # type: ignore[misc, unused-ignore]
    """Papermill's own engine but for the client; the same options."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Run the notebook of *nb_man* in a kernel of that name."""
        passed = {name: value for name, value in options.items() if name not in _NOT_PASSED}
        passed.setdefault("startup_timeout", options.get("start_timeout", 60))
        if options.get("execution_timeout"):
            passed["timeout"] = options["execution_timeout"]
        client: Any = _Client
        return client(nb_man, kernel_name=kernel_name, log=logger, **passed).execute()
