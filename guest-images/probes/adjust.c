// SPDX-License-Identifier: GPL-2.0
/*
 * adjust: what happens to a frequency-mode event while the kernel adjusts its
 * sampling period?
 *
 * Opens HOLDERS counting events, then the target (frequency mode) with a
 * counting twin in its group, then FILLERS counting events, and walks through
 * the phases: user:MS spins in user space, kernel:MS spends its time in
 * getrandom(2), vacate disables the oldest holder, so that a lower counter is
 * free from then on.  Reads, page indexes and samples become records.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "arch.h"
#include "perf.h"
#include "record.h"

#define MAX_COMPETITORS		32
#define MAX_PHASES		64
#define RING_PAGES		256
#define SPIN_ITERATIONS		10000
#define RANDOM_BYTES		16384
#define READ_INTERVAL_NS	5000000

struct options {
	uint32_t type;
	uint64_t config;
	uint64_t frequency;
	bool task, exclude_kernel;
	int holders, fillers;
	char *phases;
};

struct competitors {
	struct counter counters[MAX_COMPETITORS];
	int first, number;
};

struct watched {
	struct counter target, twin;
	struct competitors holders, fillers;
	uint64_t next_read;
	int phase;
	bool user_access;
};

static struct perf_event_attr competitor_attr(const struct options *options)
{
	struct perf_event_attr attr = new_attr(options->type, options->config);

	attr.disabled = 0;
	attr.pinned = 1;
	attr.exclude_kernel = options->exclude_kernel;
	if (options->task)
		attr.config1 = CONFIG1_USER_ACCESS;
	return attr;
}

static void open_competitors(struct competitors *competitors, const char *name, int number,
			     const struct options *options)
{
	struct perf_event_attr attr = competitor_attr(options);

	for (int i = 0; i < number; i++) {
		struct counter *counter = &competitors->counters[i];

		*counter = open_counter(name, &attr, options->task ? 0 : -1,
					options->task ? -1 : 0, NULL);
		map_counter(counter, 0);
	}
	competitors->number = number;
}

static void open_target(struct watched *watched, const struct options *options)
{
	struct perf_event_attr attr = competitor_attr(options);
	pid_t pid = options->task ? 0 : -1;
	int cpu = options->task ? -1 : 0;

	attr.disabled = 1;
	attr.freq = 1;
	attr.sample_freq = options->frequency;
	attr.sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME | PERF_SAMPLE_PERIOD |
			   PERF_SAMPLE_READ;
	attr.read_format |= PERF_FORMAT_GROUP;
	watched->target = open_counter("target", &attr, pid, cpu, NULL);
	map_counter(&watched->target, RING_PAGES);

	attr = competitor_attr(options);
	attr.pinned = 0;
	attr.read_format |= PERF_FORMAT_GROUP;
	watched->twin = open_counter("twin", &attr, pid, cpu, &watched->target);
	map_counter(&watched->twin, 0);
}

static void read_counts(struct watched *watched)
{
	struct pair pair;

	if (read(watched->target.fd, &pair, sizeof(pair)) != sizeof(pair))
		record_die("read of the target's group");
	record("{\"kind\":\"read\",\"id\":%" PRIu64 ",\"time\":%" PRIu64 ",\"phase\":%d,"
	       "\"enabled\":%" PRIu64 ",\"running\":%" PRIu64 ",\"value\":%" PRIu64
	       ",\"twin\":%" PRIu64 "}",
	       watched->target.id, monotonic_ns(), watched->phase,
	       pair.enabled, pair.running, pair.leader, pair.sibling);
}

static void watch_competitors(struct competitors *competitors, int phase)
{
	for (int i = competitors->first; i < competitors->number; i++)
		watch_index(&competitors->counters[i], phase);
}

static void watch(struct watched *watched)
{
	uint64_t now = monotonic_ns();

	if (watched->user_access) {
		watch_index(&watched->target, watched->phase);
		watch_index(&watched->twin, watched->phase);
		watch_competitors(&watched->holders, watched->phase);
		watch_competitors(&watched->fillers, watched->phase);
	}
	if (now >= watched->next_read) {
		read_counts(watched);
		watched->next_read = now + READ_INTERVAL_NS;
	}
}

static void spin_in_user_space(struct watched *watched, uint64_t end)
{
	while (monotonic_ns() < end) {
		spin(SPIN_ITERATIONS);
		watch(watched);
	}
}

/* No watching here: it would be time in user space. */
static void spend_in_kernel(uint64_t end)
{
	static char bytes[RANDOM_BYTES];

	while (monotonic_ns() < end)
		if (getrandom(bytes, sizeof(bytes), GRND_INSECURE) < 0)
			record_die("getrandom");
}

static void vacate(struct watched *watched)
{
	struct competitors *holders = &watched->holders;

	if (holders->first == holders->number)
		record_die("vacate: no holder left");
	control_counter(&holders->counters[holders->first++], PERF_EVENT_IOC_DISABLE, 0);
}

static void run_phase(struct watched *watched, const char *name)
{
	unsigned long ms = 0;
	const char *colon = strchr(name, ':');
	uint64_t now = monotonic_ns();

	if (colon)
		ms = strtoul(colon + 1, NULL, 10);
	record("{\"kind\":\"phase\",\"phase\":%d,\"name\":\"%.*s\",\"time\":%" PRIu64 "}",
	       watched->phase, (int)(colon ? colon - name : (long)strlen(name)), name, now);
	if (!strncmp(name, "user:", 5))
		spin_in_user_space(watched, now + ms * 1000000);
	else if (!strncmp(name, "kernel:", 7))
		spend_in_kernel(now + ms * 1000000);
	else if (!strcmp(name, "vacate"))
		vacate(watched);
	else
		record_die("unknown phase");
	watch(watched);
}

static void parse_event(struct options *options, const char *word)
{
	char *colon;

	options->type = strtoul(word, &colon, 0);
	options->config = *colon == ':' ? strtoull(colon + 1, NULL, 0) : 0;
}

static struct options parse(int argc, char **argv)
{
	enum { EVENT, FREQUENCY, SCOPE, EXCLUDE_KERNEL, HOLDERS, FILLERS, PHASES };
	static const struct option known[] = {
		{ "event", required_argument, NULL, EVENT },
		{ "frequency", required_argument, NULL, FREQUENCY },
		{ "scope", required_argument, NULL, SCOPE },
		{ "exclude-kernel", no_argument, NULL, EXCLUDE_KERNEL },
		{ "holders", required_argument, NULL, HOLDERS },
		{ "fillers", required_argument, NULL, FILLERS },
		{ "phases", required_argument, NULL, PHASES },
		{ }
	};
	struct options options = { .frequency = 1000 };
	int choice;

	while ((choice = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (choice) {
		case EVENT: parse_event(&options, optarg); break;
		case FREQUENCY: options.frequency = strtoull(optarg, NULL, 10); break;
		case SCOPE: options.task = !strcmp(optarg, "task"); break;
		case EXCLUDE_KERNEL: options.exclude_kernel = true; break;
		case HOLDERS: options.holders = atoi(optarg); break;
		case FILLERS: options.fillers = atoi(optarg); break;
		case PHASES: options.phases = optarg; break;
		default: record_die("unknown option");
		}
	}
	if (!options.phases || options.holders > MAX_COMPETITORS || options.fillers > MAX_COMPETITORS)
		record_die("adjust needs --phases, and few enough competitors");
	return options;
}

int main(int argc, char **argv)
{
	struct watched watched = { 0 };
	struct options options;

	record_open();
	options = parse(argc, argv);
	watched.user_access = options.task;

	open_competitors(&watched.holders, "holder", options.holders, &options);
	open_target(&watched, &options);
	open_competitors(&watched.fillers, "filler", options.fillers, &options);

	control_counter(&watched.target, PERF_EVENT_IOC_ENABLE, 0);
	for (char *name = strtok(options.phases, ","); name; name = strtok(NULL, ",")) {
		run_phase(&watched, name);
		watched.phase++;
	}
	control_counter(&watched.target, PERF_EVENT_IOC_DISABLE, 0);
	read_counts(&watched);
	drain_ring(&watched.target);
	return 0;
}
