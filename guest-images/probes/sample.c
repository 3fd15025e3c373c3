// SPDX-License-Identifier: GPL-2.0
/* Samples, field by field in the order that linux/perf_event.h has them; see sample.h. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "perf.h"
#include "record.h"
#include "sample.h"

#define MAX_CHAIN	8	/* entries that are recorded */

/* Where we are in an entry, and whether all that was taken was in it. */
struct position {
	const uint64_t *next, *end;
	bool overrun;
};

static uint64_t take(struct position *position)
{
	if (position->next < position->end)
		return *position->next++;
	position->overrun = true;
	return 0;
}

static void skip(struct position *position, uint64_t words)
{
	if (words > (uint64_t)(position->end - position->next))
		position->overrun = true;
	else
		position->next += words;
}

/* ,"chain":[first,...] of a call chain; all of it is skipped. */
static void take_chain(struct position *position, char *text, size_t size)
{
	uint64_t number = take(position);
	size_t used = snprintf(text, size, ",\"chain\":[");

	for (uint64_t i = 0; i < number && i < MAX_CHAIN; i++)
		used += snprintf(text + used, size - used, "%s%" PRIu64, i ? "," : "",
				 take(position));
	if (number > MAX_CHAIN)
		skip(position, number - MAX_CHAIN);
	snprintf(text + used, size - used, "]");
}

/* How many registers there were; 0 of a task of the kernel's. */
static uint64_t take_registers(struct position *position, uint64_t mask)
{
	uint64_t number = __builtin_popcountll(mask);

	if (take(position) == PERF_SAMPLE_REGS_ABI_NONE)
		return 0;
	skip(position, number);
	return number;
}

/* How many bytes of the stack there were. */
static uint64_t take_stack(struct position *position)
{
	uint64_t size = take(position);

	if (!size)
		return 0;
	skip(position, size / 8);
	return take(position);
}

/* What is beside that of all samples, as further JSON fields. */
static void take_more(const struct counter *counter, struct position *position,
		      char *text, size_t size)
{
	uint64_t type = counter->attr.sample_type;
	size_t used = 0;

	text[0] = '\0';
	if (type & PERF_SAMPLE_CALLCHAIN) {
		take_chain(position, text, size);
		used = strlen(text);
	}
	if (type & PERF_SAMPLE_REGS_USER)
		used += snprintf(text + used, size - used, ",\"registers\":%" PRIu64,
				 take_registers(position, counter->attr.sample_regs_user));
	if (type & PERF_SAMPLE_STACK_USER)
		snprintf(text + used, size - used, ",\"stack\":%" PRIu64, take_stack(position));
}

void record_sample(const struct counter *counter, const struct perf_event_header *entry)
{
	uint64_t type = counter->attr.sample_type, words[3 + 3 * MAX_GROUP] = { 0 };
	struct position position = {
		.next = (const uint64_t *)(entry + 1),
		.end = (const uint64_t *)entry + entry->size / 8,
	};
	uint64_t id, ip, task, time, address, stream, cpu, period, number;
	struct group_values values = { 0 };
	char counts[1024] = "", more[1024];

	id = take(&position);
	ip = type & PERF_SAMPLE_IP ? take(&position) : 0;
	task = take(&position);
	time = take(&position);
	address = type & PERF_SAMPLE_ADDR ? take(&position) : 0;
	stream = take(&position);
	cpu = take(&position);
	period = type & PERF_SAMPLE_PERIOD ? take(&position) : counter->attr.sample_period;
	if (type & PERF_SAMPLE_READ) {
		number = position.next < position.end ? *position.next : 0;
		if (number > MAX_GROUP)
			record_die("a group of an impossible size");
		number = 3 + number * (counter->attr.read_format & PERF_FORMAT_LOST ? 3 : 2);
		for (uint64_t i = 0; i < number; i++)
			words[i] = take(&position);
		parse_group(counter, words, &values);
		group_json(&values, counts, sizeof(counts));
	}
	take_more(counter, &position, more, sizeof(more));
	if (position.overrun || position.next != position.end)
		record_die("a sample of another size than what is in it");
	record("{\"kind\":\"sample\",\"id\":%" PRIu64 ",\"stream\":%" PRIu64 ",\"tid\":%u,\"cpu\":%u,"
	       "\"time\":%" PRIu64 ",\"period\":%" PRIu64 ",\"enabled\":%" PRIu64
	       ",\"running\":%" PRIu64 ",\"counts\":[%s],\"mode\":%d,\"ip\":%" PRIu64
	       ",\"address\":%" PRIu64 "%s}",
	       id, stream, (uint32_t)(task >> 32), (uint32_t)cpu, time, period,
	       values.enabled, values.running, counts,
	       entry->misc & PERF_RECORD_MISC_CPUMODE_MASK, ip, address, more);
}
