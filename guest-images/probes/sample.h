/* SPDX-License-Identifier: GPL-2.0 */
/* PERF_RECORD_SAMPLE, with all that our events may ask for. */
#ifndef PROBES_SAMPLE_H
#define PROBES_SAMPLE_H

#include <linux/perf_event.h>

struct counter;

/* Turn a sample of an event into a record {"kind":"sample"}. */
void record_sample(const struct counter *counter, const struct perf_event_header *entry);

#endif
