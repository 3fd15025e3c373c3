# SPDX-License-Identifier: MIT
"""What is said of a failure, and what to do about it."""

import errno
import os

import pytest

from harness.errors import HostError


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room on that disk"),
        (errno.EDQUOT, "make room on that disk"),
        (errno.EACCES, "see whose it is"),
        (errno.EPERM, "see whose it is"),
        (errno.EROFS, "mounted read-only"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.ENOMEM, "free memory"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "ulimit -n"),
        (errno.EAGAIN, "ulimit -u"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "dmesg"),
    ],
)
def test_what_the_system_refuses_is_told_by_its_errno(number, advice):
    error = HostError.of(OSError(number, os.strerror(number), "/a/place"))
    assert error.what == f"[Errno {number}] {os.strerror(number)}: '/a/place'"
    assert advice in error.advice
    assert not error.why


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.EINVAL])
def test_what_may_be_a_bug_is_told_with_where_it_was(number):
    try:
        raise OSError(number, os.strerror(number), "/a/place")
    except OSError as raised:
        error = HostError.of(raised)
    assert "/a/place" in error.what
    assert "test_errors.py" in error.why
    assert error.advice.startswith("see what lies there")


def test_an_error_without_a_number_is_a_bug():
    assert "bug of pmu-harness" in HostError.of(OSError("odd")).advice
