# SPDX-License-Identifier: MIT
"""Scenarios that nobody wrote: drawn by chance, made possible, cut down to what shows a fault."""
