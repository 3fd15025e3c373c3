# SPDX-License-Identifier: MIT
"""A run from what was asked for to its folder on disk, and many runs."""
