/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AUX buffers: what a PMU traces beside the ring, and PERF_RECORD_AUX that tells of it.
 *
 * The words are those of guest-images/modules/pmu_test.c: each one more than the
 * one before, of which the first, the last and how many do not follow is recorded.
 */
#ifndef PROBES_AUX_H
#define PROBES_AUX_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct counter;

/* How many words there are, and what is in them; all 0 of none. */
struct trace_words {
	uint64_t number, first, last, breaks;
};

struct trace_words trace_words(const uint64_t *words, uint64_t number);

/* Map a buffer of so many pages behind an event's ring; one that user space may not write to
 * is written over by the kernel. */
void map_aux(struct counter *counter, size_t pages, bool overwrite);

/* Turn a PERF_RECORD_AUX into a record {"kind":"aux"}. */
void record_aux(struct counter *counter, const struct perf_event_header *entry);

/* Say that what was recorded has been read, or what a buffer that is written over holds. */
void leave_aux(struct counter *counter);

void unmap_aux(struct counter *counter);

#endif
