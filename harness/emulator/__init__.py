# SPDX-License-Identifier: MIT
"""From QEMU's source and patches to a program with its firmware: source, build."""
