/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel tells of tasks in a ring, beside samples. */
#ifndef PROBES_SIDEBAND_H
#define PROBES_SIDEBAND_H

#include <linux/perf_event.h>
#include <stdint.h>

/* What stands behind each record with sample_id_all, as set_sampling() asks for it. */
struct sample_id {
	uint32_t pid, tid;
	uint64_t time, stream;
	uint32_t cpu, reserved;
	uint64_t identifier;
};

/* Turn a record of an event with sample_id_all, and of set_sampling(), into "sideband". */
void record_sideband(const struct perf_event_header *entry);

#endif
