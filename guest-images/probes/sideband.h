/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel tells of tasks in a ring, beside samples. */
#ifndef PROBES_SIDEBAND_H
#define PROBES_SIDEBAND_H

#include <linux/perf_event.h>

/* Turn a record of an event with sample_id_all, and of set_sampling(), into "sideband". */
void record_sideband(const struct perf_event_header *entry);

#endif
