// SPDX-License-Identifier: GPL-2.0
/* PMUs in sysfs; see pmu.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch.h"
#include "perf.h"
#include "pmu.h"
#include "record.h"
#include "script.h"

#define PMUS	"/sys/bus/event_source/devices/"
#define TIMERS	"/proc/timer_list"

/* The folder of the CPU's own PMU: what the kernel calls it is for arch.h to know. */
static void find_hardware(char *path, size_t size)
{
	glob_t found;

	if (glob(PMUS HARDWARE_PMU, 0, NULL, &found))
		record_die("no " PMUS HARDWARE_PMU);
	snprintf(path, size, "%s", found.gl_pathv[0]);
	globfree(&found);
}

static void attribute_path(const char *pmu, const char *attribute, char *path, size_t size)
{
	char folder[128];

	if (strcmp(pmu, "hardware"))
		snprintf(folder, sizeof(folder), PMUS "%s", pmu);
	else
		find_hardware(folder, sizeof(folder));
	snprintf(path, size, "%s/%s", folder, attribute);
}

/* What a PMU's attribute holds, without its newline, in `text`. */
static void read_pmu(const char *pmu, const char *attribute, char *text, size_t size)
{
	char path[256];
	FILE *file;

	attribute_path(pmu, attribute, path, sizeof(path));
	file = fopen(path, "r");
	if (!file || !fgets(text, size, file))
		record_die(path);
	text[strcspn(text, "\n")] = '\0';
	fclose(file);
}

/* False, errno set, when the kernel refuses. */
static bool write_pmu(const char *pmu, const char *attribute, const char *value)
{
	ssize_t size = strlen(value);
	char path[256];
	int fd, error;

	attribute_path(pmu, attribute, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		record_die(path);
	errno = 0;
	size -= write(fd, value, size);
	error = errno;
	close(fd);
	errno = error;
	return !size;
}

/* The test PMUs' format: "event" in the lowest bits of config. */
struct perf_event_attr pmu_event_attr(const char *name)
{
	char pmu[32], attribute[64], text[64];
	unsigned long long config;
	unsigned int type;
	int end = strcspn(name, ":");

	snprintf(pmu, sizeof(pmu), "%.*s", end, name);
	read_pmu(pmu, "type", text, sizeof(text));
	if (sscanf(text, "%u", &type) != 1)
		record_die("the type of a PMU");
	snprintf(attribute, sizeof(attribute), "events/%s", name + end + 1);
	read_pmu(pmu, attribute, text, sizeof(text));
	if (sscanf(text, "event=%llx", &config) != 1)
		record_die("an event of a PMU");
	return new_attr(type, config);
}

/* How many of the timers that rotate events are running. */
static int rotation_timers(void)
{
	char line[256];
	int number = 0;
	FILE *file = fopen(TIMERS, "r");

	if (!file)
		record_die(TIMERS);
	while (fgets(line, sizeof(line), file))
		number += !!strstr(line, "perf_mux_hrtimer_handler");
	fclose(file);
	return number;
}

static void record_value(const char *pmu, const char *attribute, const char *text)
{
	record("{\"kind\":\"attribute\",\"pmu\":\"%s\",\"name\":\"%s\",\"value\":\"%s\","
	       "\"time\":%" PRIu64 "}", pmu, attribute, text, monotonic_ns());
}

static void record_attribute(const char *pmu, const char *attribute)
{
	char text[64];

	read_pmu(pmu, attribute, text, sizeof(text));
	record_value(pmu, attribute, text);
}

/* What every readable file of a folder holds, below the PMU's; by name. */
static void record_folder(const char *pmu, const char *below)
{
	char path[512], name[300], text[256];
	struct dirent **found;
	int number;

	attribute_path(pmu, below, path, sizeof(path));
	number = scandir(path, &found, NULL, alphasort);
	for (int i = 0; i < number; i++) {
		FILE *file = NULL;

		snprintf(name, sizeof(name), "%s%s%s", below, *below ? "/" : "", found[i]->d_name);
		attribute_path(pmu, name, path, sizeof(path));
		if (found[i]->d_type == DT_REG && strcmp(found[i]->d_name, "uevent"))
			file = fopen(path, "r");
		if (file && fgets(text, sizeof(text), file)) {
			text[strcspn(text, "\n")] = '\0';
			record_value(pmu, name, text);
		}
		if (file)
			fclose(file);
		free(found[i]);
	}
	if (number >= 0)
		free(found);
}

static void record_attributes(const char *pmu)
{
	static const char * const folders[] = { "", "caps", "events", "format" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		record_folder(pmu, folders[i]);
}

bool pmu_step(const struct step *step)
{
	const char *verb = step->words[0], *pmu = step->words[1], *attribute = step->words[2];

	if (!strcmp(verb, "work")) {
		if (!write_pmu(pmu, "work", step->words[2]))
			record_die("write to a PMU's work");
	} else if (!strcmp(verb, "show")) {
		record_attribute(pmu, attribute);
	} else if (!strcmp(verb, "attributes")) {
		record_attributes(pmu);
	} else if (!strcmp(verb, "set")) {
		bool done = write_pmu(pmu, attribute, step->words[3]);

		if (step->may_be_refused)
			answer_step(step, done ? 0 : errno);
		else if (!done)
			record_die("write to a PMU's attribute");
	} else if (!strcmp(verb, "timers")) {
		record("{\"kind\":\"timers\",\"number\":%d,\"time\":%" PRIu64 "}",
		       rotation_timers(), monotonic_ns());
	} else {
		return false;
	}
	return true;
}
