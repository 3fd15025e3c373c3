# SPDX-License-Identifier: MIT
"""A virtual machine: argv and crash recognition (pure), QEMU's lifetime, the console."""
