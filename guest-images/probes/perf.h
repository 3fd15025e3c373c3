/* SPDX-License-Identifier: GPL-2.0 */
/* perf_event_open(2) as the probes use it: one counter, its page, its ring. */
#ifndef PROBES_PERF_H
#define PROBES_PERF_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_GROUP	16
#define PAGE_SIZE	4096

/* What samples are asked for beside what set_sampling() asks for always; see sample.c. */
#define MORE_IN_SAMPLES	(PERF_SAMPLE_IP | PERF_SAMPLE_ADDR | PERF_SAMPLE_CALLCHAIN | \
			 PERF_SAMPLE_RAW | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER | \
			 ACCESS_HINTS | PERF_SAMPLE_REGS_INTR | PERF_SAMPLE_PHYS_ADDR | \
			 PERF_SAMPLE_CGROUP | PERF_SAMPLE_DATA_PAGE_SIZE | \
			 PERF_SAMPLE_CODE_PAGE_SIZE | PERF_SAMPLE_AUX)
/* What hardware may know of an access: nothing, of events that are none of its. */
#define ACCESS_HINTS	(PERF_SAMPLE_WEIGHT | PERF_SAMPLE_DATA_SRC | PERF_SAMPLE_TRANSACTION)

/* What an event is bound to. */
struct scope {
	pid_t pid;		/* 0 for the calling task, -1 for none */
	int cpu;		/* -1 for any */
	int cgroup;		/* a descriptor, -1 for none */
	unsigned long flags;	/* of perf_event_open(2), beside those that this takes */
	const char *task;	/* the scenario's names, for the record */
	const char *cgroup_name;
};

struct counter {
	const char *name;
	int fd;
	uint64_t id;
	struct perf_event_attr attr;
	struct perf_event_mmap_page *page;
	size_t mapped;		/* bytes at page */
	void *aux;		/* an AUX buffer, and how far it was read; see aux.h */
	size_t aux_size;
	uint64_t aux_read;
	bool aux_overwrite;
	uint64_t index;		/* last index seen in the page */
	long switches;		/* context switches at that look */
	bool refused;
};

/* read(2) of a leader (PERF_FORMAT_GROUP | PERF_FORMAT_ID | times). */
struct group_values {
	uint64_t number, enabled, running;
	struct {
		uint64_t value, id;
	} counts[MAX_GROUP];
	uint64_t lost[MAX_GROUP];	/* of PERF_FORMAT_LOST */
};

uint64_t monotonic_ns(void);

/* Say how long the kernel's tick is: {"kind":"clock"}. */
void record_clock(void);

/* An attr that every probe starts from: disabled, CLOCK_MONOTONIC stamps. */
struct perf_event_attr new_attr(uint32_t type, uint64_t config);

/* Make it a sampling event, of a fixed period or in frequency mode (attr.freq); what of
 * MORE_IN_SAMPLES is in attr.sample_type stays. */
void set_sampling(struct perf_event_attr *attr);

/* True for an event that writes samples (of a period or a frequency: they are one word) or
 * other records. */
bool has_ring(const struct perf_event_attr *attr);

/* Open and announce {"kind":"event"}.  Returns false, errno set, when the
 * kernel refuses. */
bool open_counter(struct counter *counter, const char *name, const struct perf_event_attr *attr,
		  const struct scope *scope, const struct counter *leader);

void close_counter(struct counter *counter);

/* Map the control page and, with pages > 0 (a power of two), the ring; one that the kernel
 * writes backward, over what is there, may not be written to. */
void map_counter(struct counter *counter, size_t pages);

/* As above, and let it go again at once; false, errno set, when the kernel refuses. */
bool try_map(const struct counter *counter, size_t pages);

void unmap_counter(struct counter *counter);

/* read(2) into so many bytes; false, errno set, when the kernel refuses. */
bool try_read(const struct counter *counter, size_t bytes);

void control_counter(const struct counter *counter, unsigned long request, unsigned long argument);

/* As above; false, errno set, when the kernel refuses. */
bool try_control(const struct counter *counter, unsigned long request, unsigned long argument);

/* All events that the calling task opened: PR_TASK_PERF_EVENTS_ENABLE, _DISABLE. */
void switch_own_events(bool on);

/* Have an event's records go into another one's ring, or with NULL into its own;
 * false, errno set, when the kernel refuses. */
bool redirect_output(const struct counter *counter, const struct counter *to);

struct group_values read_group(const struct counter *leader);

/* As above; false at the end of the file: a pinned event that found no place. */
bool read_group_if_any(const struct counter *leader, struct group_values *values);

/* How many words read(2), or a sample, has of a group of which this is the first. */
size_t words_of_group(const struct counter *counter, uint64_t first);

/* What read(2) of a leader, or a sample, has of a group as it lies there. */
void parse_group(const struct counter *counter, const uint64_t *words,
		 struct group_values *values);

/* [[id,count],...] of a group, as JSON, into `text`. */
const char *group_json(const struct group_values *values, char *text, size_t size);

/* Likewise [[id,lost],...]. */
const char *lost_json(const struct group_values *values, char *text, size_t size);

/* The page's index, read under its sequence lock; 0 while not counting. */
uint64_t page_index(const struct counter *counter);

/* Record a change of the page's index since the last look, and how many
 * context switches, which move events rightly, were in between. */
void watch_index(struct counter *counter, int phase);

/* The times that the page tells, as linux/perf_event.h has user space compute them. */
struct page_times {
	uint64_t index, enabled, running;
};

struct page_times page_times(const struct counter *counter);

/* Turn what the ring holds into "sample", "throttle", "unthrottle", "ended" and
 * "lost" records. */
void drain_ring(struct counter *counter);

#endif
