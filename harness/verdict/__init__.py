# SPDX-License-Identifier: MIT
"""From observations to verdicts, to whom they blame, to the status of a run (pure)."""
