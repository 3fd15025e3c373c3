/* SPDX-License-Identifier: GPL-2.0 */
/* What a scenario's tasks do: known numbers of things that events count. */
#ifndef PROBES_WORK_H
#define PROBES_WORK_H

#include <stdint.h>

/* Fault in this many fresh pages, one after the other. */
void fault_pages(uint64_t number);

/* Have the kernel fault in this many fresh pages, as it writes to them. */
void fault_pages_in_kernel(uint64_t number);

/* getppid(2) this many times. */
void call_kernel(uint64_t number);

/* Write one of watched_variables this many times. */
void touch_variable(int variable, uint64_t number);

/* Deliver this many signals to the calling task. */
void deliver_signals(uint64_t number);

/* Kernel time: one getrandom(2) of this many bytes, at most 8 MiB; some six
 * instructions a byte. */
void spend_in_kernel(uint64_t bytes);

/* Bind the calling task to a CPU. */
void move_to_cpu(int cpu);

/* Take a CPU offline, or online again. */
void set_online(int cpu, int online);

/* A cgroup's descriptor; made when there is none of this name. */
int open_cgroup(const char *name);

/* Move the calling task into a cgroup. */
void join_cgroup(const char *name);

#endif
