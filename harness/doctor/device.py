# SPDX-License-Identifier: MIT
"""What the device file of a hardware accelerator answers."""

import errno
import fcntl
import os
from pathlib import Path

from harness.model import Accelerator, DeviceFacts

# linux/kvm.h: _IO(KVMIO, 0x00) and _IO(KVMIO, 0x03), with KVMIO 0xAE.
KVM_GET_API_VERSION = 0xAE00
KVM_CHECK_EXTENSION = 0xAE03
# kvm.enable_pmu since Linux 5.18; a maker's module may have one of its own.
PARAMETERS = "kvm*/parameters/enable_pmu"


def ask(row: Accelerator, modules: Path = Path("/sys/module")) -> DeviceFacts:
    """Open the device, ask its version and capabilities; what went wrong is in the facts."""
    parameters = {
        f"{path.parts[-3]}.{path.name}": path.read_text(encoding="utf-8").strip()
        for path in sorted(modules.glob(PARAMETERS))
    }
    facts = DeviceFacts(path=row.device, parameters=parameters)
    try:
        descriptor = os.open(row.device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return facts.model_copy(update={"error": _name(error)})
    try:
        api = fcntl.ioctl(descriptor, KVM_GET_API_VERSION, 0)
        capabilities = {
            name: fcntl.ioctl(descriptor, KVM_CHECK_EXTENSION, number)
            for name, number in row.capabilities.items()
        }
    except OSError as error:
        return facts.model_copy(update={"error": _name(error)})
    finally:
        os.close(descriptor)
    return facts.model_copy(update={"api": api, "capabilities": capabilities})


def _name(error: OSError) -> str:
    """Such as EACCES."""
    return errno.errorcode.get(error.errno or 0, str(error))
