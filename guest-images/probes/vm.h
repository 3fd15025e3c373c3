/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine of KVM's, with one CPU and its vPMU, that executes guest-images/vm: the
 * calling task's own, made when it is first wanted.
 */
#ifndef PROBES_VM_H
#define PROBES_VM_H

#include <stdint.h>

/* Let it go on for so long; each result that it says becomes a record. */
void run_vm(uint64_t ns);

#endif
