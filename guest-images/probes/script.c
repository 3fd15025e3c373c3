// SPDX-License-Identifier: GPL-2.0
/* From a scenario's text to tables; see script.h. */
#include <inttypes.h>
#include <linux/hw_breakpoint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch.h"
#include "perf.h"
#include "pmu.h"
#include "record.h"
#include "script.h"

#define TRACEPOINT_ID	"/sys/kernel/tracing/events/%s/id"

volatile uint64_t watched_variables[WATCHED_VARIABLES];

static const struct {
	const char *name;
	uint32_t type;
	uint64_t config;
} known_events[] = {
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
	{ "branches", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS },
	{ "cpu-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK },
	{ "task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK },
	{ "page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
	{ "context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES },
	{ "dummy", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY },
};

static uint64_t tracepoint_id(const char *name)
{
	char path[256], *slash;
	unsigned long long id;
	FILE *file;

	snprintf(path, sizeof(path), TRACEPOINT_ID, name);
	slash = strchr(path, ':');
	if (slash)
		*slash = '/';
	file = fopen(path, "r");
	if (!file || fscanf(file, "%llu", &id) != 1)
		record_die(path);
	fclose(file);
	return id;
}

static struct perf_event_attr counting_attr(const char *what)
{
	struct perf_event_attr attr;

	for (size_t i = 0; i < sizeof(known_events) / sizeof(known_events[0]); i++)
		if (!strcmp(what, known_events[i].name))
			return new_attr(known_events[i].type, known_events[i].config);
	if (!strncmp(what, "raw:", 4))
		return new_attr(PERF_TYPE_RAW, strtoull(what + 4, NULL, 0));
	if (!strncmp(what, "tracepoint:", 11))
		return new_attr(PERF_TYPE_TRACEPOINT, tracepoint_id(what + 11));
	if (!strncmp(what, "pmu:", 4))
		return pmu_event_attr(what + 4);
	if (strcmp(what, "breakpoint"))
		record_die("script: unknown event");
	attr = new_attr(PERF_TYPE_BREAKPOINT, 0);
	attr.bp_type = HW_BREAKPOINT_W;
	attr.bp_addr = (uintptr_t)&watched_variables[FIRST_VARIABLE];
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	return attr;
}

/* What a scenario sets without the kernel's leave: fields of the attr as they lie there. */
#define FIELD(name) \
	{ #name, offsetof(struct perf_event_attr, name), sizeof(((struct perf_event_attr *)0)->name) }
#define BITS_OFFSET	40	/* of disabled, inherit ...: they have no address */

static const struct {
	const char *name;
	size_t offset, size;
} fields[] = {
	FIELD(type), FIELD(size), FIELD(config), FIELD(sample_period), FIELD(sample_type),
	FIELD(read_format), { "bits", BITS_OFFSET, 8 }, FIELD(wakeup_events), FIELD(bp_type),
	FIELD(config1), FIELD(config2), FIELD(branch_sample_type), FIELD(sample_regs_user),
	FIELD(sample_stack_user), FIELD(clockid), FIELD(sample_regs_intr), FIELD(aux_watermark),
	FIELD(sample_max_stack), FIELD(__reserved_2), FIELD(aux_sample_size), FIELD(__reserved_3),
	FIELD(sig_data),
};

/* Bits are added to those that are there; all else is replaced. */
static void set_field(struct perf_event_attr *attr, const char *name, uint64_t value)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		unsigned char *place = (unsigned char *)attr + fields[i].offset;
		uint64_t bits = 0;

		if (strcmp(name, fields[i].name))
			continue;
		if (fields[i].offset == BITS_OFFSET)
			memcpy(&bits, place, sizeof(bits));
		bits |= value;
		memcpy(place, &bits, fields[i].size);	/* little endian */
		return;
	}
	record_die("script: unknown field");
}

/* Which of the kernel's records an event is to write: mmap,comm,task,... */
static void set_records(struct perf_event_attr *attr, char *names)
{
	char *position, *name = strtok_r(names, ",", &position);

	attr->sample_id_all = 1;
	for (; name; name = strtok_r(NULL, ",", &position)) {
		if (!strcmp(name, "mmap"))
			attr->mmap = 1;
		else if (!strcmp(name, "mmap2"))
			attr->mmap = attr->mmap2 = 1;
		else if (!strcmp(name, "comm"))
			attr->comm = 1;
		else if (!strcmp(name, "task"))
			attr->task = 1;
		else if (!strcmp(name, "switch"))
			attr->context_switch = 1;
		else if (!strcmp(name, "namespaces"))
			attr->namespaces = 1;
		else if (!strcmp(name, "cgroup"))
			attr->cgroup = 1;
		else
			record_die("script: unknown records");
	}
}

#define SOME_REGISTERS	0xff
#define SOME_BYTES	256

static const struct {
	const char *name;
	uint64_t type;
} parts[] = {
	{ "ip", PERF_SAMPLE_IP },
	{ "address", PERF_SAMPLE_ADDR },
	{ "chain", PERF_SAMPLE_CALLCHAIN },
	{ "raw", PERF_SAMPLE_RAW },
	{ "registers", PERF_SAMPLE_REGS_USER },
	{ "stack", PERF_SAMPLE_STACK_USER },
	{ "hints", ACCESS_HINTS },
	{ "interrupted", PERF_SAMPLE_REGS_INTR },
	{ "physical", PERF_SAMPLE_PHYS_ADDR },
	{ "cgroup", PERF_SAMPLE_CGROUP },
	{ "pages", PERF_SAMPLE_DATA_PAGE_SIZE | PERF_SAMPLE_CODE_PAGE_SIZE },
	{ "aux", PERF_SAMPLE_AUX },
};

static uint64_t part_of_sample(const char *name)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strcmp(name, parts[i].name))
			return parts[i].type;
	record_die("script: unknown part of a sample");
}

/* What samples are to have more: ip,address,... */
static void set_sample(struct perf_event_attr *attr, char *names)
{
	char *position, *name = strtok_r(names, ",", &position);

	for (; name; name = strtok_r(NULL, ",", &position))
		attr->sample_type |= part_of_sample(name);
	if (attr->sample_type & PERF_SAMPLE_REGS_USER)
		attr->sample_regs_user = SOME_REGISTERS;
	if (attr->sample_type & PERF_SAMPLE_REGS_INTR)
		attr->sample_regs_intr = SOME_REGISTERS;
	if (attr->sample_type & PERF_SAMPLE_STACK_USER)
		attr->sample_stack_user = SOME_BYTES;
	if (attr->sample_type & PERF_SAMPLE_AUX)
		attr->aux_sample_size = SOME_BYTES;
}

static void set_key(struct event_spec *event, const char *key, char *value)
{
	struct perf_event_attr *attr = &event->attr;
	uint64_t number = strtoull(value, NULL, 0);

	if (!strncmp(key, "attr.", 5))
		set_field(attr, key + 5, number);
	else if (!strcmp(key, "flags"))
		event->flags = number;
	else if (!strcmp(key, "ring"))
		event->ring = number;
	else if (!strcmp(key, "aux"))
		event->aux = number, attr->sample_id_all = 1;
	else if (!strcmp(key, "overwrite"))
		event->overwrite = number;
	else if (!strcmp(key, "records"))
		set_records(attr, value);
	else if (!strcmp(key, "sample"))
		set_sample(attr, value);
	else if (!strcmp(key, "sigtrap"))
		attr->sigtrap = attr->remove_on_exec = 1;
	else if (!strcmp(key, "single"))
		attr->read_format &= ~PERF_FORMAT_GROUP;
	else if (!strcmp(key, "lost"))
		attr->read_format |= PERF_FORMAT_LOST;
	else if (!strcmp(key, "backward"))
		attr->write_backward = number;
	else if (!strcmp(key, "wakeup"))
		attr->wakeup_events = number;
	else if (!strcmp(key, "leader"))
		event->leader = value;
	else if (!strcmp(key, "task"))
		event->task = value;
	else if (!strcmp(key, "cgroup"))
		event->cgroup = value;
	else if (!strcmp(key, "cpu"))
		event->cpu = number;
	else if (!strcmp(key, "frequency"))
		attr->freq = 1, attr->sample_freq = number;
	else if (!strcmp(key, "period"))
		attr->sample_period = number;
	else if (!strcmp(key, "disabled"))
		attr->disabled = number;
	else if (!strcmp(key, "enable_on_exec"))
		attr->enable_on_exec = number;
	else if (!strcmp(key, "pinned"))
		attr->pinned = number;
	else if (!strcmp(key, "exclusive"))
		attr->exclusive = number;
	else if (!strcmp(key, "inherit"))
		attr->inherit = number;
	else if (!strcmp(key, "inherit_thread"))
		attr->inherit_thread = number;
	else if (!strcmp(key, "remove_on_exec"))
		attr->remove_on_exec = number;
	else if (!strcmp(key, "inherit_stat"))
		attr->inherit_stat = number;
	else if (!strcmp(key, "exclude_kernel"))
		attr->exclude_kernel = number;
	else if (!strcmp(key, "exclude_user"))
		attr->exclude_user = number;
	else if (!strcmp(key, "exclude_host"))
		attr->exclude_host = number;
	else if (!strcmp(key, "signals"))
		event->signals = number;
	else if (!strcmp(key, "watched"))
		event->watched = number;
	else if (!strcmp(key, "paged"))
		event->paged = number;
	else if (!strcmp(key, "late"))
		event->late = number;
	else if (!strcmp(key, "may_be_refused"))
		event->may_be_refused = number;
	else
		record_die("script: unknown key");
}

static void parse_event(struct script *script, char *line)
{
	struct event_spec *event = &script->events[script->events_number++];
	char *word, *position;

	if (script->events_number > MAX_EVENTS)
		record_die("script: too many events");
	strtok_r(line, " ", &position);
	event->name = strtok_r(NULL, " ", &position);
	word = strtok_r(NULL, " ", &position);
	if (!word || strncmp(word, "counts=", 7))
		record_die("script: an event begins with counts=");
	event->attr = counting_attr(word + 7);
	event->attr.disabled = 0;
	event->cpu = -1;
	while ((word = strtok_r(NULL, " ", &position))) {
		char *value = strchr(word, '=');

		if (!value)
			record_die("script: a key without a value");
		*value++ = '\0';
		set_key(event, word, value);
	}
	if (has_ring(&event->attr) && !(event->attr.sample_type & ~MORE_IN_SAMPLES))
		set_sampling(&event->attr);
	if (event->watched)
		event->attr.config1 = CONFIG1_USER_ACCESS;
}

static void parse_step(struct task_spec *task, char *line)
{
	struct step *step = &task->steps[task->number++];
	char *position, *word = strtok_r(line, " ", &position);

	if (task->number > MAX_STEPS)
		record_die("script: too many steps");
	if (word && *word == '?') {
		step->may_be_refused = true;
		word++;
	}
	for (int i = 0; i < MAX_WORDS; i++) {
		step->words[i] = word ? word : "";
		if (word)
			word = strtok_r(NULL, " ", &position);
	}
	if (word)
		record_die("script: a step with too many words");
}

struct script *read_script(const char *path)
{
	static struct script script;
	struct task_spec *task = NULL;
	char *line = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "r");

	if (!file)
		record_die(path);
	script.tasks[0].name = "main";
	script.tasks_number = 1;
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "event ", 6)) {
			parse_event(&script, line);
		} else if (!strncmp(line, "task ", 5)) {
			if (script.tasks_number == MAX_TASKS)
				record_die("script: too many tasks");
			task = &script.tasks[script.tasks_number++];
			task->name = line + 5;
		} else if (!strcmp(line, "quiet")) {
			script.quiet = true;
		} else if (!strcmp(line, "main")) {
			task = &script.tasks[0];
		} else if (line[0] == ' ' && task) {
			parse_step(task, line + 1);
		} else {
			record_die("script: a line that is none of its kinds");
		}
		line = NULL;	/* the tables point into it */
	}
	fclose(file);
	return &script;
}

const char *step_text(const struct step *step, char *text)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < MAX_WORDS && *step->words[i]; i++)
		used += snprintf(text + used, STEP_TEXT - used, "%s%s", i ? " " : "", step->words[i]);
	return text;
}

void record_answer(const char *what, int error)
{
	record("{\"kind\":\"answer\",\"what\":\"%s\",\"errno\":%d,\"time\":%" PRIu64 "}",
	       what, error, monotonic_ns());
}

void answer_step(const struct step *step, int error)
{
	char text[STEP_TEXT];

	record_answer(step_text(step, text), error);
}
