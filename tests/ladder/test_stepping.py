"""Single steps through C code that keeps the GIL: what that code does with signals and threads goes well.

In child processes: a SIGTRAP in the wrong place ends the process.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = """
#include <pthread.h>
#include <signal.h>
#include <time.h>

static volatile unsigned sink;

static int over(double seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    for (int i = 0; i < 100; i++) {
        sink += i;
    }
    return now.tv_sec + now.tv_nsec * 1e-9 > seconds;
}

static void *nothing(void *value)
{
    return value;
}

void starts_threads(double seconds)
{
    while (!over(seconds)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, nothing, NULL) == 0) {
            pthread_join(thread, NULL);
        }
    }
}

void blocks_signals(double seconds)
{
    sigset_t all, present;
    sigfillset(&all);
    while (!over(seconds)) {
        pthread_sigmask(SIG_SETMASK, &all, &present);
        sink++;
        pthread_sigmask(SIG_SETMASK, &present, NULL);
    }
}

void computes(double seconds)
{
    while (!over(seconds)) {
    }
}
"""
START = """
import ctypes, signal, sys, threading, time
import lpf
library = ctypes.PyDLL(sys.argv[1])
function = getattr(library, sys.argv[2])
def work():
    if sys.argv[2] == "computes":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])
    function(ctypes.c_double(time.thread_time() + 0.6))
"""
ON_MAIN = "print(lpf.launch(work, timeout=0.05).state)"
ON_ANOTHER = """
lpf.watch(True)
thread = threading.Thread(target=work)
thread.start()
while thread.is_alive():
    time.sleep(0.001)
print("finished")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder: Path = tmp_path_factory.mktemp("stepping")
    (folder / "steps.c").write_text(LIBRARY)
    command = [compiler, "-O1", "-shared", "-fPIC", "-pthread", "-o", folder / "steps.so"]
    subprocess.run([*command, folder / "steps.c"], check=True)
    return folder / "steps.so"


@pytest.mark.parametrize("code", [ON_MAIN, ON_ANOTHER], ids=["main thread", "another thread"])
@pytest.mark.parametrize("name", ["starts_threads", "blocks_signals", "computes"])
def test_it_goes_to_its_end(library: Path, name: str, code: str) -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", START + code, str(library), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-1] in ("finished", "paused")  # Back in Python, it may be left.
