# SPDX-License-Identifier: MIT
"""From sources to what is booted: kernels, initramfs, disks, outer systems, emulators."""
