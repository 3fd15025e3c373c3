// SPDX-License-Identifier: GPL-2.0
/* perf_event_open(2) as the probes use it; see perf.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch.h"
#include "aux.h"
#include "perf.h"
#include "record.h"
#include "sample.h"
#include "sideband.h"

#define MAX_ENTRY	4096	/* bytes of a record in a ring */

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

void record_clock(void)
{
	struct timespec tick;

	/* Only the tick advances it: KTIME_LOW_RES in kernel/time/posix-timers.c. */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
		record_die("clock_getres");
	record("{\"kind\":\"clock\",\"tick_ns\":%ld}", tick.tv_nsec);
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
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING |
			       PERF_FORMAT_GROUP | PERF_FORMAT_ID,
	};

	return attr;
}

static bool is_clock(const struct perf_event_attr *attr)
{
	return attr->type == PERF_TYPE_SOFTWARE && (attr->config == PERF_COUNT_SW_CPU_CLOCK ||
						    attr->config == PERF_COUNT_SW_TASK_CLOCK);
}

/* Software events of a fixed period that are to tell it are sampled at each count
 * (perf_swevent_event() in kernel/events/core.c), but for clocks. */
static bool tells_period(const struct perf_event_attr *attr)
{
	return attr->freq || attr->sample_period == 1 || is_clock(attr) ||
	       (attr->type != PERF_TYPE_SOFTWARE && attr->type != PERF_TYPE_TRACEPOINT &&
		attr->type != PERF_TYPE_BREAKPOINT);
}

void set_sampling(struct perf_event_attr *attr)
{
	attr->sample_type &= MORE_IN_SAMPLES;
	attr->sample_type |= PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
			     PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU;
	attr->sample_id_all = 1;
	if (tells_period(attr))
		attr->sample_type |= PERF_SAMPLE_PERIOD;
	/* Before 6.13 the kernel refuses values of inherited events in samples. */
	if (!attr->inherit)
		attr->sample_type |= PERF_SAMPLE_READ;
}

bool has_ring(const struct perf_event_attr *attr)
{
	return attr->sample_period || attr->inherit_stat || attr->sample_id_all;
}

static void announce(const struct counter *counter, const struct scope *scope,
		     const struct counter *leader)
{
	const struct perf_event_attr *attr = &counter->attr;

	record("{\"kind\":\"event\",\"name\":\"%s\",\"id\":%" PRIu64 ",\"leader\":%" PRIu64
	       ",\"task\":\"%s\",\"cpu\":%d,\"cgroup\":\"%s\",\"type\":%u,\"config\":%llu,"
	       "\"period\":%llu,\"frequency\":%llu,\"exclude_kernel\":%d,\"exclude_user\":%d,"
	       "\"exclude_host\":%d,"
	       "\"pinned\":%d,\"exclusive\":%d,\"inherit\":%d}",
	       counter->name, counter->id, leader ? leader->id : counter->id,
	       scope->task, scope->cpu, scope->cgroup_name,
	       attr->type, (unsigned long long)attr->config,
	       attr->freq ? 0 : (unsigned long long)attr->sample_period,
	       attr->freq ? (unsigned long long)attr->sample_freq : 0,
	       attr->exclude_kernel, attr->exclude_user, attr->exclude_host,
	       attr->pinned, attr->exclusive, attr->inherit);
}

bool open_counter(struct counter *counter, const char *name, const struct perf_event_attr *attr,
		  const struct scope *scope, const struct counter *leader)
{
	/* The kernel looks at what is behind the attr that it knows, if it is told of more. */
	static union {
		struct perf_event_attr attr;
		unsigned char bytes[2 * PAGE_SIZE];
	} given;
	bool cgroup = scope->cgroup >= 0;
	unsigned long flags = scope->flags | PERF_FLAG_FD_CLOEXEC;

	given.attr = *attr;
	*counter = (struct counter) { .name = name, .attr = *attr };
	counter->fd = syscall(SYS_perf_event_open, &given, cgroup ? scope->cgroup : scope->pid,
			      scope->cpu, leader ? leader->fd : -1,
			      flags | (cgroup ? PERF_FLAG_PID_CGROUP : 0));
	if (counter->fd < 0)
		return false;
	if (ioctl(counter->fd, PERF_EVENT_IOC_ID, &counter->id))
		record_die("PERF_EVENT_IOC_ID");
	announce(counter, scope, leader);
	return true;
}

void close_counter(struct counter *counter)
{
	/* A mapping holds the event as an open descriptor does. */
	if (counter->page)
		unmap_counter(counter);
	close(counter->fd);
	*counter = (struct counter) { .name = counter->name, .fd = -1 };
}

/* Where user space may write, the kernel waits for it to say what it has read. */
static int protection_of(const struct counter *counter)
{
	return PROT_READ | (counter->attr.write_backward ? 0 : PROT_WRITE);
}

void map_counter(struct counter *counter, size_t pages)
{
	counter->mapped = (1 + pages) * PAGE_SIZE;
	counter->page = mmap(NULL, counter->mapped, protection_of(counter),
			     MAP_SHARED, counter->fd, 0);
	if (counter->page == MAP_FAILED)
		record_die("mmap of a perf ring");
}

bool try_map(const struct counter *counter, size_t pages)
{
	size_t size = (1 + pages) * PAGE_SIZE;
	void *page = mmap(NULL, size, protection_of(counter), MAP_SHARED, counter->fd, 0);

	if (page == MAP_FAILED)
		return false;
	munmap(page, size);
	return true;
}

void unmap_counter(struct counter *counter)
{
	unmap_aux(counter);
	munmap(counter->page, counter->mapped);
	counter->page = NULL;
}

bool try_read(const struct counter *counter, size_t bytes)
{
	char values[sizeof(struct group_values)];

	return read(counter->fd, values, bytes < sizeof(values) ? bytes : sizeof(values)) >= 0;
}

static const char *request_name(unsigned long request)
{
	switch (request) {
	case PERF_EVENT_IOC_ENABLE:
		return "PERF_EVENT_IOC_ENABLE";
	case PERF_EVENT_IOC_DISABLE:
		return "PERF_EVENT_IOC_DISABLE";
	case PERF_EVENT_IOC_REFRESH:
		return "PERF_EVENT_IOC_REFRESH";
	case PERF_EVENT_IOC_RESET:
		return "PERF_EVENT_IOC_RESET";
	case PERF_EVENT_IOC_PERIOD:
		return "PERF_EVENT_IOC_PERIOD";
	case PERF_EVENT_IOC_PAUSE_OUTPUT:
		return "PERF_EVENT_IOC_PAUSE_OUTPUT";
	default:
		return "ioctl";
	}
}

void switch_own_events(bool on)
{
	if (prctl(on ? PR_TASK_PERF_EVENTS_ENABLE : PR_TASK_PERF_EVENTS_DISABLE, 0, 0, 0, 0))
		record_die("prctl");
}

bool redirect_output(const struct counter *counter, const struct counter *to)
{
	/* The kernel compares with a long of -1. */
	return !ioctl(counter->fd, PERF_EVENT_IOC_SET_OUTPUT, (long)(to ? to->fd : -1));
}

bool try_control(const struct counter *counter, unsigned long request, unsigned long argument)
{
	return !ioctl(counter->fd, request, argument);
}

void control_counter(const struct counter *counter, unsigned long request, unsigned long argument)
{
	char what[128];
	int error;

	if (try_control(counter, request, argument))
		return;
	error = errno;
	snprintf(what, sizeof(what), "%s of %s", request_name(request), counter->name);
	errno = error;
	record_die(what);
}

/* Without PERF_FORMAT_GROUP: the value, the times, the id, with PERF_FORMAT_LOST what was lost. */
static void parse_single(const uint64_t *words, bool lost, struct group_values *values)
{
	*values = (struct group_values) {
		.number = 1, .enabled = words[1], .running = words[2],
	};
	values->counts[0].value = words[0];
	values->counts[0].id = words[3];
	values->lost[0] = lost ? words[4] : 0;
}

size_t words_of_group(const struct counter *counter, uint64_t first)
{
	bool lost = counter->attr.read_format & PERF_FORMAT_LOST;

	if (!(counter->attr.read_format & PERF_FORMAT_GROUP))
		return lost ? 5 : 4;
	if (first > MAX_GROUP)
		record_die("a group of an impossible size");
	return 3 + first * (lost ? 3 : 2);
}

/* With PERF_FORMAT_LOST a third word stands behind each value and id. */
void parse_group(const struct counter *counter, const uint64_t *words,
		 struct group_values *values)
{
	size_t step = counter->attr.read_format & PERF_FORMAT_LOST ? 3 : 2;

	if (!(counter->attr.read_format & PERF_FORMAT_GROUP)) {
		parse_single(words, step == 3, values);
		return;
	}
	*values = (struct group_values) {
		.number = words[0], .enabled = words[1], .running = words[2],
	};
	if (values->number > MAX_GROUP)
		record_die("a group of an impossible size");
	for (uint64_t i = 0; i < values->number; i++) {
		const uint64_t *member = words + 3 + step * i;

		values->counts[i].value = member[0];
		values->counts[i].id = member[1];
		if (step == 3)
			values->lost[i] = member[2];
	}
}

bool read_group_if_any(const struct counter *leader, struct group_values *values)
{
	uint64_t words[3 + 3 * MAX_GROUP] = { 0 };
	ssize_t size = read(leader->fd, words, sizeof(words));

	if (size < 0)
		record_die("read of a group");
	parse_group(leader, words, values);
	return size;
}

struct group_values read_group(const struct counter *leader)
{
	struct group_values values;

	read_group_if_any(leader, &values);
	return values;
}

const char *group_json(const struct group_values *values, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint64_t i = 0; i < values->number && used < size; i++)
		used += snprintf(text + used, size - used, "%s[%" PRIu64 ",%" PRIu64 "]",
				 i ? "," : "", values->counts[i].id, values->counts[i].value);
	if (used >= size)
		record_die("a group too large to record");
	return text;
}

const char *lost_json(const struct group_values *values, char *text, size_t size)
{
	struct group_values lost = *values;

	for (int i = 0; i < MAX_GROUP; i++)
		lost.counts[i].value = values->lost[i];
	return group_json(&lost, text, size);
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

/* The clock as perf's: time_cycles and time_mask are there where it is a short one. */
static uint64_t since_page(const struct perf_event_mmap_page *page)
{
	uint64_t cycles = read_clock(), quotient, rest;

	if (page->cap_user_time_short)
		cycles = page->time_cycles + ((cycles - page->time_cycles) & page->time_mask);
	quotient = cycles >> page->time_shift;
	rest = cycles & (((uint64_t)1 << page->time_shift) - 1);
	return page->time_offset + quotient * page->time_mult +
	       ((rest * page->time_mult) >> page->time_shift);
}

struct page_times page_times(const struct counter *counter)
{
	const volatile struct perf_event_mmap_page *page = counter->page;
	struct page_times times;
	uint32_t sequence;
	uint64_t delta;

	do {
		sequence = page->lock;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		times = (struct page_times) {
			.index = page->index,
			.enabled = page->time_enabled,
			.running = page->time_running,
		};
		delta = page->cap_user_time ? since_page(counter->page) : 0;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} while (page->lock != sequence);
	times.enabled += delta;
	if (times.index)
		times.running += delta;
	return times;
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

struct throttle {
	struct perf_event_header header;
	uint64_t time, id, stream;
};

struct lost {
	struct perf_event_header header;
	uint64_t id, lost;
};

/* What a child counted, when it ends: of events with inherit_stat. */
struct ended {
	struct perf_event_header header;
	uint32_t pid, tid;
	struct group_values values;
};

union ring_record {
	struct perf_event_header header;
	struct ended ended;
	struct throttle throttle;
	struct lost lost;
	unsigned char bytes[MAX_ENTRY];
};

static void record_ended(const struct counter *counter, const struct ended *ended)
{
	char counts[1024];

	record("{\"kind\":\"ended\",\"id\":%" PRIu64 ",\"tid\":%u,\"enabled\":%" PRIu64
	       ",\"running\":%" PRIu64 ",\"counts\":[%s]}",
	       counter->id, ended->tid, ended->values.enabled, ended->values.running,
	       group_json(&ended->values, counts, sizeof(counts)));
}

static void record_ring_entry(struct counter *counter, const union ring_record *entry)
{
	switch (entry->header.type) {
	case PERF_RECORD_SAMPLE:
		record_sample(counter, &entry->header);
		break;
	case PERF_RECORD_THROTTLE:
	case PERF_RECORD_UNTHROTTLE:
		record("{\"kind\":\"%s\",\"id\":%" PRIu64 ",\"stream\":%" PRIu64
		       ",\"time\":%" PRIu64 "}",
		       entry->header.type == PERF_RECORD_THROTTLE ? "throttle" : "unthrottle",
		       entry->throttle.id, entry->throttle.stream, entry->throttle.time);
		break;
	case PERF_RECORD_READ:
		record_ended(counter, &entry->ended);
		break;
	case PERF_RECORD_LOST:
		record("{\"kind\":\"lost\",\"id\":%" PRIu64 ",\"lost\":%" PRIu64 "}",
		       entry->lost.id, entry->lost.lost);
		break;
	case PERF_RECORD_AUX:
		record_aux(counter, &entry->header);
		break;
	default:
		record_sideband(&entry->header);
	}
}

static void copy_from_ring(const struct perf_event_mmap_page *page, uint64_t position,
			   void *to, size_t size)
{
	const unsigned char *data = (const unsigned char *)page + page->data_offset;

	for (size_t i = 0; i < size; i++)
		((unsigned char *)to)[i] = data[(position + i) % page->data_size];
}

/* Written from the end towards the beginning, over what was there: newest first, until one that
 * is not whole any more. */
static void drain_backward(struct counter *counter)
{
	struct perf_event_mmap_page *page = counter->page;
	uint64_t head, position;

	control_counter(counter, PERF_EVENT_IOC_PAUSE_OUTPUT, 1);
	head = position = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	while (position - head < page->data_size) {
		union ring_record entry;
		size_t size;

		copy_from_ring(page, position, &entry.header, sizeof(entry.header));
		size = entry.header.size;
		if (!size || position + size - head > page->data_size)
			break;
		if (size < sizeof(entry.header) || size > sizeof(entry))
			record_die("ring entry of an impossible size");
		copy_from_ring(page, position, &entry, size);
		record_ring_entry(counter, &entry);
		position += size;
	}
}

void drain_ring(struct counter *counter)
{
	struct perf_event_mmap_page *page = counter->page;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = page->data_tail;

	if (counter->attr.write_backward) {
		drain_backward(counter);
		return;
	}
	while (tail < head) {
		union ring_record entry;
		size_t size;

		copy_from_ring(page, tail, &entry.header, sizeof(entry.header));
		size = entry.header.size;
		if (size < sizeof(entry.header) || size > sizeof(entry))
			record_die("ring entry of an impossible size");
		copy_from_ring(page, tail, &entry, size);
		record_ring_entry(counter, &entry);
		tail += size;
	}
	__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
	leave_aux(counter);
}
