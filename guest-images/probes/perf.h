/* SPDX-License-Identifier: GPL-2.0 */
/* perf_event_open(2) as the probes use it: one counter, its page, its ring. */
#ifndef PROBES_PERF_H
#define PROBES_PERF_H

#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/types.h>

/* arm64: config1 bit 1 asks for a counter that user space may read. */
#define CONFIG1_USER_ACCESS	2

struct counter {
	const char *name;
	int fd;
	uint64_t id;
	struct perf_event_mmap_page *page;
	size_t mapped;		/* bytes at page */
	uint64_t index;		/* last index seen in the page */
	long switches;		/* context switches at that look */
};

/* A group read of a leader and one sibling (PERF_FORMAT_GROUP | times). */
struct pair {
	uint64_t number, enabled, running, leader, sibling;
};

uint64_t monotonic_ns(void);

/* An attr that every probe starts from: disabled, CLOCK_MONOTONIC stamps. */
struct perf_event_attr new_attr(uint32_t type, uint64_t config);

/* Open and announce {"kind":"event"}; exits with a record on failure. */
struct counter open_counter(const char *name, struct perf_event_attr *attr,
			    pid_t pid, int cpu, const struct counter *leader);

void close_counter(struct counter *counter);

/* Map the control page and, with pages > 0 (a power of two), the ring. */
void map_counter(struct counter *counter, size_t pages);

void control_counter(const struct counter *counter, unsigned long request, unsigned long flags);

/* The page's index, read under its sequence lock; 0 while not counting. */
uint64_t page_index(const struct counter *counter);

/* Record a change of the page's index since the last look, and how many
 * context switches, which move events rightly, were in between. */
void watch_index(struct counter *counter, int phase);

/* Turn what the ring holds into "sample", "throttle", "unthrottle" and
 * "lost" records.  Samples must be IDENTIFIER | TIME | PERIOD | READ (pair). */
void drain_ring(struct counter *counter);

#endif
