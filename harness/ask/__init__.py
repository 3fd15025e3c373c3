# SPDX-License-Identifier: MIT
"""What there is to ask for, the data of configs/ and kernel-patches/, and a plan of it."""
