"""Rung 2: native code that has released the GIL is left in the middle, with all that it needs."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lpf

# Each spins, across slices, until the flag is set; what it had must then be as it was.
SOURCE = r"""
#include <cerrno>
#include <cstdlib>
#include <pthread.h>
#include <stdexcept>

typedef int (*callback)(int);
static thread_local long own = 7;

extern "C" {
int keeps_errno_and_thread_locals(volatile int *flag)
{
    errno = 41;
    own = 41;
    while (!*flag) {
    }
    return errno == 41 && own == 41;
}

int keeps_an_exception_in_flight(volatile int *flag)
{
    try {
        try {
            throw std::runtime_error("first");
        } catch (const std::runtime_error &) {
            while (!*flag) {
            }
            throw;
        }
    } catch (const std::exception &error) {
        return error.what()[0] == 'f';
    }
    return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int holds_a_lock(volatile int *flag)
{
    pthread_mutex_lock(&lock);
    while (!*flag) {
    }
    pthread_mutex_unlock(&lock);
    return 1;
}

static pthread_mutex_t brief = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;

static void spin(volatile int *flag, int rounds)
{
    while (rounds-- > 0 && !*flag) {
    }
}

/* Half of the time under one of the locks that guard the library's own variables. */
int locks_for_moments(volatile int *flag)
{
    while (!*flag) {
        pthread_mutex_lock(&brief);
        spin(flag, 20000);
        pthread_mutex_unlock(&brief);
        spin(flag, 20000);
        pthread_rwlock_wrlock(&shared);
        spin(flag, 20000);
        pthread_rwlock_unlock(&shared);
        spin(flag, 20000);
    }
    return 1;
}

int locks_are_free()
{
    if (pthread_mutex_trylock(&brief) != 0 || pthread_rwlock_trywrlock(&shared) != 0) {
        return 0;
    }
    pthread_mutex_unlock(&brief);
    pthread_rwlock_unlock(&shared);
    return 1;
}

int is_left_between_allocations(volatile int *flag)
{
    for (size_t round = 0; !*flag; round++) {
        free(malloc(10 + round % 100000));
    }
    return 1;
}

#if defined(__x86_64__)
int has_avx512()
{
    return __builtin_cpu_supports("avx512f");
}

/* Widest registers and a mask register. */
int keeps_vector_registers(volatile int *flag)
{
    long ones[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0}, mask = 0;
    __asm__ volatile("vmovdqu64 (%1), %%zmm17\n\t"
                     "movl $0x5a, %%eax\n\t"
                     "kmovw %%eax, %%k5\n"
                     "1:\n\t"
                     "cmpl $0, (%3)\n\t"
                     "je 1b\n\t"
                     "vmovdqu64 %%zmm17, (%2)\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "kmovw %%k5, %%eax\n\t"
                     "movq %%rax, %0"
                     : "=m"(mask)
                     : "r"(ones), "r"(out), "r"(flag)
                     : "rax", "memory", "cc");
    for (int i = 0; i < 8; i++) {
        if (out[i] != i + 1) {
            return 0;
        }
    }
    return mask == 0x5a;
}
#endif

int calls_python(callback python, int number)
{
    int sum = 0;
    for (int i = 0; i < number; i++) {
        for (volatile int spin = 0; spin < 20000; spin++) {
        }
        sum += python(i);
    }
    return sum;
}
}
"""
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    folder: Path = tmp_path_factory.mktemp("native")
    (folder / "slices.cpp").write_text(SOURCE)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", folder / "slices.so"]
    subprocess.run([*command, folder / "slices.cpp"], check=True)
    return ctypes.CDLL(str(folder / "slices.so"))


def disturb() -> None:
    """What overwrites whatever a function that stands still has not kept."""
    ctypes.set_errno(99)
    hashlib.sha256(bytes(100_000)).digest()
    zeros = bytearray(100_000)
    zeros.find(b"x")
    try:
        ctypes.CDLL(None).open(b"/nowhere", 0)
        int("no number")
    except ValueError:
        pass


FUNCTIONS = [
    "keeps_errno_and_thread_locals",
    "keeps_an_exception_in_flight",
    "is_left_between_allocations",
    "keeps_vector_registers",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_finds_everything_as_it_was(library: ctypes.CDLL, name: str) -> None:
    if name == "keeps_vector_registers" and not (
        hasattr(library, "has_avx512") and library.has_avx512()
    ):
        pytest.skip("no AVX-512")
    flag = ctypes.c_int(0)
    c = lpf.launch(getattr(library, name), ctypes.byref(flag), timeout=0.001)
    for _ in range(50):
        disturb()
        c.resume(timeout=0.0005)
    assert c.state == "paused"
    flag.value = 1
    assert c.resume().result() == 1


def test_two_exceptions_in_flight_do_not_mix(library: ctypes.CDLL) -> None:
    flags = [ctypes.c_int(0) for _ in range(3)]
    running = [
        lpf.launch(library.keeps_an_exception_in_flight, ctypes.byref(flag), timeout=0.005)
        for flag in flags
    ]
    for flag, c in zip(flags, reversed(running), strict=True):
        flag.value = 1
        c.resume(timeout=0.005)
    for flag in flags:
        flag.value = 1
    assert [c.resume().result() if not c.done else c.result() for c in running] == [1, 1, 1]


def test_one_that_waits_for_a_lock_of_another_is_left_too(library: ctypes.CDLL) -> None:
    flag = ctypes.c_int(0)
    holder = lpf.launch(library.holds_a_lock, ctypes.byref(flag), timeout=0.01)
    waiting = lpf.launch(library.holds_a_lock, ctypes.byref(flag), timeout=0.01)
    flag.value = 1
    waiting.resume(timeout=0.01)
    assert (holder.state, waiting.state) == ("paused", "paused")
    assert holder.resume().result() == 1
    assert waiting.resume().result() == 1


def test_it_is_not_left_while_it_holds_a_lock_of_its_library(library: ctypes.CDLL) -> None:
    flag = ctypes.c_int(0)
    c = lpf.launch(library.locks_for_moments, ctypes.byref(flag), timeout=0.001)
    for _ in range(50):
        assert c.state == "paused"
        assert library.locks_are_free()
        c.resume(timeout=0.0005)
    flag.value = 1
    assert c.resume().result() == 1


def test_python_in_the_middle_is_left_too(library: ctypes.CDLL) -> None:
    python = CALLBACK(lambda number: sum(range(number)) % 100)
    plain = library.calls_python(python, 300)
    c = lpf.launch(library.calls_python, python, 300, timeout=0.001)
    others = [lpf.launch(library.calls_python, python, 300, timeout=0.001) for _ in range(3)]
    for each in (*others, c):
        while not each.done:
            each.resume(timeout=0.0005)
        assert each.result() == plain


def test_the_signal_mask_is_its_own(library: ctypes.CDLL) -> None:
    flag = ctypes.c_int(0)

    def masked() -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        result = library.keeps_errno_and_thread_locals(ctypes.byref(flag))
        return result, signal.pthread_sigmask(signal.SIG_BLOCK, ())

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    c = lpf.launch(masked, timeout=0.01)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    flag.value = 1
    assert c.resume().result() == (1, before | {signal.SIGUSR1})
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_a_child(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_endless_native_code_is_abandoned_and_the_rest_goes_on() -> None:
    code = """
import hashlib, lpf
c = lpf.launch(hashlib.pbkdf2_hmac, "sha256", b"p", b"s", 2**31 - 1, timeout=0.02)
print(c.state, c.cancel(grace=0.05), c.state)
c = lpf.launch(hashlib.pbkdf2_hmac, "sha256", b"p", b"s", 2**31 - 1, timeout=0.02)
print(len(lpf.live()), hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10).hex()[:4])
"""
    assert in_a_child(code).split() == ["paused", "abandoned", "abandoned", "2", "1d6f"]
