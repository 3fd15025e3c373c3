# SPDX-License-Identifier: MIT
"""The host: its processes, packages, disk, sandbox, and what else goes on on it."""
