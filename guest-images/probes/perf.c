// SPDX-License-Identifier: GPL-2.0
/* perf_event_open(2) as the probes use it; see perf.h. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "perf.h"
#include "record.h"

#define PAGE_SIZE	4096

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

struct perf_event_attr new_attr(uint32_t type, uint64_t config)
{
	struct perf_event_attr attr = {
		.type = type,
		.size = sizeof(attr),
		.config = config,
		.disabled = 1,
		.exclude_hv = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};

	return attr;
}

struct counter open_counter(const char *name, struct perf_event_attr *attr,
			    pid_t pid, int cpu, const struct counter *leader)
{
	struct counter counter = { .name = name };

	counter.fd = syscall(SYS_perf_event_open, attr, pid, cpu,
			     leader ? leader->fd : -1, PERF_FLAG_FD_CLOEXEC);
	if (counter.fd < 0)
		record_die(name);
	if (ioctl(counter.fd, PERF_EVENT_IOC_ID, &counter.id))
		record_die("PERF_EVENT_IOC_ID");
	record("{\"kind\":\"event\",\"name\":\"%s\",\"id\":%" PRIu64 ",\"cpu\":%d,\"task\":%d,"
	       "\"type\":%u,\"config\":%llu,\"frequency\":%llu,\"exclude_kernel\":%d,"
	       "\"leader\":%" PRIu64 "}",
	       name, counter.id, cpu, pid >= 0, attr->type, (unsigned long long)attr->config,
	       attr->freq ? (unsigned long long)attr->sample_freq : 0,
	       attr->exclude_kernel, leader ? leader->id : counter.id);
	return counter;
}

void close_counter(struct counter *counter)
{
	/* A mapping holds the event as an open descriptor does. */
	if (counter->page)
		munmap(counter->page, counter->mapped);
	close(counter->fd);
	*counter = (struct counter) { .name = counter->name, .fd = -1 };
}

void map_counter(struct counter *counter, size_t pages)
{
	counter->mapped = (1 + pages) * PAGE_SIZE;
	counter->page = mmap(NULL, counter->mapped, PROT_READ | PROT_WRITE,
			     MAP_SHARED, counter->fd, 0);
	if (counter->page == MAP_FAILED)
		record_die("mmap of a perf ring");
}

void control_counter(const struct counter *counter, unsigned long request, unsigned long flags)
{
	if (ioctl(counter->fd, request, flags))
		record_die("perf ioctl");
}

uint64_t page_index(const struct counter *counter)
{
	const volatile struct perf_event_mmap_page *page = counter->page;
	uint32_t sequence;
	uint64_t index;

	do {
		sequence = page->lock;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		index = page->index;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} while (page->lock != sequence);
	return index;
}

static long context_switches(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage))
		record_die("getrusage");
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

void watch_index(struct counter *counter, int phase)
{
	uint64_t index = page_index(counter);
	long switches = context_switches();

	if (index != counter->index)
		record("{\"kind\":\"index\",\"name\":\"%s\",\"id\":%" PRIu64 ",\"time\":%" PRIu64
		       ",\"phase\":%d,\"switches\":%ld,\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}",
		       counter->name, counter->id, monotonic_ns(), phase,
		       switches - counter->switches, counter->index, index);
	counter->index = index;
	counter->switches = switches;
}

struct sample {
	struct perf_event_header header;
	uint64_t identifier, time, period;
	struct pair values;
};

struct throttle {
	struct perf_event_header header;
	uint64_t time, id, stream;
};

struct lost {
	struct perf_event_header header;
	uint64_t id, lost;
};

union ring_record {
	struct perf_event_header header;
	struct sample sample;
	struct throttle throttle;
	struct lost lost;
	unsigned char bytes[1024];
};

static void record_ring_entry(const union ring_record *entry)
{
	switch (entry->header.type) {
	case PERF_RECORD_SAMPLE:
		record("{\"kind\":\"sample\",\"id\":%" PRIu64 ",\"time\":%" PRIu64 ",\"period\":%" PRIu64
		       ",\"enabled\":%" PRIu64 ",\"running\":%" PRIu64 ",\"value\":%" PRIu64
		       ",\"twin\":%" PRIu64 "}",
		       entry->sample.identifier, entry->sample.time, entry->sample.period,
		       entry->sample.values.enabled, entry->sample.values.running,
		       entry->sample.values.leader, entry->sample.values.sibling);
		break;
	case PERF_RECORD_THROTTLE:
	case PERF_RECORD_UNTHROTTLE:
		record("{\"kind\":\"%s\",\"id\":%" PRIu64 ",\"time\":%" PRIu64 "}",
		       entry->header.type == PERF_RECORD_THROTTLE ? "throttle" : "unthrottle",
		       entry->throttle.id, entry->throttle.time);
		break;
	case PERF_RECORD_LOST:
		record("{\"kind\":\"lost\",\"id\":%" PRIu64 ",\"lost\":%" PRIu64 "}",
		       entry->lost.id, entry->lost.lost);
		break;
	}
}

static void copy_from_ring(const struct perf_event_mmap_page *page, uint64_t position,
			   void *to, size_t size)
{
	const unsigned char *data = (const unsigned char *)page + page->data_offset;

	for (size_t i = 0; i < size; i++)
		((unsigned char *)to)[i] = data[(position + i) % page->data_size];
}

void drain_ring(struct counter *counter)
{
	struct perf_event_mmap_page *page = counter->page;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = page->data_tail;

	while (tail < head) {
		union ring_record entry;
		size_t size;

		copy_from_ring(page, tail, &entry.header, sizeof(entry.header));
		size = entry.header.size;
		if (size < sizeof(entry.header) || size > sizeof(entry))
			record_die("ring entry of an impossible size");
		copy_from_ring(page, tail, &entry, size);
		record_ring_entry(&entry);
		tail += size;
	}
	__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
}
