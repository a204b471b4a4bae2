"""What a cell costs that nobody touches: through two real kernels, with the extension and without."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from measure import Cost, in_turns

CELLS = 40  # In a round.
KERNELS = 4


class Kernel:
    """A kernel that runs empty cells."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.client = client
        self.pid = manager.provisioner.process.pid

    def run(self, code: str) -> None:
        ident = self.client.execute(code)
        while self.client.get_shell_msg(timeout=60)["parent_header"].get("msg_id") != ident:
            pass
        while True:  # As a front end does, until the cell is done.
            message = self.client.get_iopub_msg(timeout=60)
            if message["content"].get("execution_state") == "idle" and (
                message["parent_header"].get("msg_id") == ident
            ):
                break

    def busy(self) -> float:
        """Seconds that its main thread has been running, to the nanosecond."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text()
        return int(text.split()[0]) * 1e-9

    def round(self) -> float:
        """CPU seconds for a cell."""
        start = self.busy()
        for _ in range(CELLS):
            self.run("pass")
        return (self.busy() - start) / CELLS


@contextmanager
def started(*cells: str) -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = Kernel(manager, client)
        for cell in cells:
            kernel.run(cell)
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def compare(rounds: int) -> tuple[Cost, Cost]:
    """What a cell costs with the extension and without, in several kernels of each kind.

    One process is faster than the next by more than what is to be found out.
    """
    with ExitStack() as stack:
        ours = [stack.enter_context(started("%load_ext lpf")) for _ in range(KERNELS)]
        stock = [stack.enter_context(started()) for _ in range(KERNELS)]
        first, second = in_turns(
            rounds,
            lambda: fmean(kernel.round() for kernel in ours),
            lambda: fmean(kernel.round() for kernel in stock),
        )
    return first, second
