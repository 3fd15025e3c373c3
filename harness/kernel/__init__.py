# SPDX-License-Identifier: MIT
"""From a kernel source and patches to an image: source, kconfig, build, selftests."""
