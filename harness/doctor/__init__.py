# SPDX-License-Identifier: MIT
"""What a host can do and why: facts (device, trial, gather), findings of them (pure)."""
