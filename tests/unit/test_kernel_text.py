# SPDX-License-Identifier: MIT
"""Kconfig text, compilers' words."""

import pytest

from harness.build import kconfig
from harness.build.compile import compiler_errors
from harness.model import KconfigFragment, VersionRange


def test_what_did_not_survive_is_listed():
    asked = 'CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_S="x"\nCONFIG_D=n\n'
    got = 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_S="x"\n'
    assert kconfig.lost(asked, got) == ["CONFIG_B=y, got n", "CONFIG_C=n, got y"]


def test_fragments_are_for_versions():
    fragments = (
        KconfigFragment(file="base"),
        KconfigFragment(file="new", versions=VersionRange(since="6.4")),
    )
    assert kconfig.fragments_for(fragments, "6.1.9") == ("base",)
    assert kconfig.fragments_for(fragments, "6.12.9") == ("base", "new")


@pytest.mark.parametrize(
    ("version", "preemption", "sysctl"),
    [
        ("5.10.262", "CONFIG_PREEMPT_NONE", "CONFIG_PROC_SYSCTL"),
        ("6.19.11", "CONFIG_PREEMPT_NONE", "CONFIG_PROC_SYSCTL"),
        ("7.2.13", "CONFIG_PREEMPT_LAZY", "CONFIG_PROC_SYSCTL"),
        ("7.3.0", "CONFIG_PREEMPT_LAZY", "CONFIG_SYSCTL"),
    ],
)
def test_a_kernel_is_asked_for_the_symbols_that_it_has(catalog, version, preemption, sysctl):
    for architecture in catalog.architectures.values():
        files = kconfig.fragments_for(architecture.kconfig, version)
        asked = kconfig.parse("".join((catalog.configs / file).read_text() for file in files))
        assert [s for s in asked if s.startswith("CONFIG_PREEMPT")] == [preemption]
        assert [s for s in asked if s.endswith("SYSCTL")] == [sysctl]


def test_compiler_errors_are_found_in_a_log():
    log = (
        "  CC      kernel/a.o\nkernel/a.c:3:5: warning: unused\n"
        "kernel/a.c:9:1: error: expected ';'\nmake[3]: *** [a.o] Error 1\n"
    )
    assert compiler_errors(log) == "kernel/a.c:9:1: error: expected ';'"
