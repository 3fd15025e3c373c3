# SPDX-License-Identifier: MIT
"""One guest's run: the batch session, and the records that come out."""
