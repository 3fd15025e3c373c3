// SPDX-License-Identifier: GPL-2.0
/* Records that are no samples; see sideband.h.  Their form is that of linux/perf_event.h. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "record.h"
#include "sideband.h"

/* What some of them begin with. */
struct of_task {
	uint32_t pid, parent_pid, tid, parent_tid;
};

static const struct {
	uint32_t type;
	const char *name;
	size_t text;		/* where the name of a file or of a command is; 0 for none */
} kinds[] = {
	{ PERF_RECORD_MMAP, "mmap", 32 },
	{ PERF_RECORD_MMAP2, "mmap2", 64 },
	{ PERF_RECORD_COMM, "comm", 8 },
	{ PERF_RECORD_EXIT, "exit", 0 },
	{ PERF_RECORD_FORK, "fork", 0 },
	{ PERF_RECORD_SWITCH, "switch", 0 },
	{ PERF_RECORD_SWITCH_CPU_WIDE, "switch-cpu", 0 },
	{ PERF_RECORD_LOST_SAMPLES, "lost-samples", 0 },
	{ PERF_RECORD_ITRACE_START, "trace-begins", 0 },
	{ PERF_RECORD_NAMESPACES, "namespaces", 0 },
	{ PERF_RECORD_CGROUP, "cgroup", 8 },
};

/* Letters and the like; what JSON would have quoted is a dot. */
static void copy_text(const char *from, size_t size, char *to, size_t room)
{
	size_t used = 0;

	for (; used < size && used < room - 1 && from[used]; used++) {
		char letter = from[used];

		to[used] = letter < ' ' || letter > '~' || letter == '"' || letter == '\\' ?
			   '.' : letter;
	}
	to[used] = '\0';
}

void record_sideband(const struct perf_event_header *entry)
{
	const unsigned char *body = (const unsigned char *)(entry + 1);
	size_t size = entry->size - sizeof(*entry) - sizeof(struct sample_id), text = 0;
	const char *name = "other";
	struct of_task task = { 0 };
	struct sample_id id;
	uint64_t number = 0;
	char words[256] = "";

	if (entry->size < sizeof(*entry) + sizeof(id))
		record_die("a record without its sample_id");
	memcpy(&id, body + size, sizeof(id));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].type == entry->type)
			name = kinds[i].name, text = kinds[i].text;
	switch (entry->type) {
	case PERF_RECORD_EXIT:
	case PERF_RECORD_FORK:
		memcpy(&task, body, sizeof(task));
		break;
	case PERF_RECORD_MMAP:
	case PERF_RECORD_MMAP2:
	case PERF_RECORD_COMM:
	case PERF_RECORD_NAMESPACES:
	case PERF_RECORD_SWITCH_CPU_WIDE:
	case PERF_RECORD_ITRACE_START:
		memcpy(&task.pid, body, sizeof(task.pid));
		memcpy(&task.tid, body + sizeof(task.pid), sizeof(task.tid));
		break;
	case PERF_RECORD_LOST_SAMPLES:
	case PERF_RECORD_CGROUP:
		memcpy(&number, body, sizeof(number));
		break;
	}
	if (text && text < size)
		copy_text((const char *)body + text, size - text, words, sizeof(words));
	record("{\"kind\":\"sideband\",\"what\":\"%s\",\"id\":%" PRIu64 ",\"stream\":%" PRIu64
	       ",\"pid\":%u,\"tid\":%u,\"cpu\":%u,\"time\":%" PRIu64 ",\"who\":[%u,%u],"
	       "\"parent\":[%u,%u],\"out\":%s,\"number\":%" PRIu64 ",\"text\":\"%s\"}",
	       name, id.identifier, id.stream, id.pid, id.tid, id.cpu, id.time,
	       task.pid, task.tid, task.parent_pid, task.parent_tid,
	       entry->misc & PERF_RECORD_MISC_SWITCH_OUT ? "true" : "false", number, words);
}
