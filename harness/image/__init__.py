# SPDX-License-Identifier: MIT
"""The guest image: recipe (pure) and build."""
