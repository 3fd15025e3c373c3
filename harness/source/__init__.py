# SPDX-License-Identifier: MIT
"""Where a kernel's or an emulator's source comes from, and what patches make of it."""
