// SPDX-License-Identifier: GPL-2.0
/* Samples, field by field in the order that linux/perf_event.h has them; see sample.h. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "aux.h"
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

/* How many bytes a tracepoint told; with their number, a u32, they fill whole words. */
static uint64_t take_raw(struct position *position)
{
	uint64_t size = (uint32_t)take(position);

	skip(position, (size + sizeof(uint32_t)) / 8 - 1);
	return size;
}

/* ,"aux":[...] as trace_words() has them. */
static void take_aux(struct position *position, char *text, size_t size)
{
	uint64_t number = take(position) / 8;
	struct trace_words words = { 0 };

	if (number <= (uint64_t)(position->end - position->next))
		words = trace_words(position->next, number);
	skip(position, number);
	snprintf(text, size, ",\"aux\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]",
		 words.number, words.first, words.last, words.breaks);
}

/* Further fields, each a number or two that a name stands before. */
struct text {
	char *next;
	size_t room;
};

static void add(struct text *text, const char *name, uint64_t value)
{
	size_t used = snprintf(text->next, text->room, ",\"%s\":%" PRIu64, name, value);

	if (used >= text->room)
		record_die("a sample with too much in it");
	text->next += used;
	text->room -= used;
}

/* What is beside that of all samples, as further JSON fields, in the order that
 * perf_output_sample() in kernel/events/core.c has them. */
static void take_more(const struct counter *counter, struct position *position,
		      char *place, size_t size)
{
	const struct perf_event_attr *attr = &counter->attr;
	uint64_t type = attr->sample_type;
	struct text text = { place, size };

	place[0] = '\0';
	if (type & PERF_SAMPLE_CALLCHAIN) {
		take_chain(position, place, size);
		text.next += strlen(place);
		text.room -= strlen(place);
	}
	if (type & PERF_SAMPLE_RAW)
		add(&text, "raw", take_raw(position));
	if (type & PERF_SAMPLE_REGS_USER)
		add(&text, "registers", take_registers(position, attr->sample_regs_user));
	if (type & PERF_SAMPLE_STACK_USER)
		add(&text, "stack", take_stack(position));
	if (type & PERF_SAMPLE_WEIGHT)
		add(&text, "weight", take(position));
	if (type & PERF_SAMPLE_DATA_SRC)
		add(&text, "source", take(position));
	if (type & PERF_SAMPLE_TRANSACTION)
		add(&text, "transaction", take(position));
	if (type & PERF_SAMPLE_REGS_INTR)
		add(&text, "interrupted", take_registers(position, attr->sample_regs_intr));
	if (type & PERF_SAMPLE_PHYS_ADDR)
		add(&text, "physical", take(position));
	if (type & PERF_SAMPLE_CGROUP)
		add(&text, "cgroup", take(position));
	if (type & PERF_SAMPLE_DATA_PAGE_SIZE)
		add(&text, "data_page", take(position));
	if (type & PERF_SAMPLE_CODE_PAGE_SIZE)
		add(&text, "code_page", take(position));
	if (type & PERF_SAMPLE_AUX)
		take_aux(position, text.next, text.room);
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
		number = words_of_group(counter,
					position.next < position.end ? *position.next : 0);
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
