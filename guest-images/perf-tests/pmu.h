/* SPDX-License-Identifier: GPL-2.0 */
/* A PMU as perf's tests know it. */
#ifndef PERF_TESTS_PMU_H
#define PERF_TESTS_PMU_H

#include <linux/types.h>
#include <stdio.h>

#define TEST_PMU	"/sys/bus/event_source/devices/test0/type"

struct perf_pmu {
	const char *name;
	__u32 type;
};

/*
 * The one uncore PMU that there is: the test PMU, under a name that the test knows, whose
 * config 1 is an event of both (clock, in guest-images/modules/pmu_test.c).
 */
static inline struct perf_pmu *perf_pmus__scan(struct perf_pmu *last)
{
	static struct perf_pmu uncore = { .name = "uncore_imc_0" };
	FILE *file = last ? NULL : fopen(TEST_PMU, "r");
	int found = file && fscanf(file, "%u", &uncore.type) == 1;

	if (file)
		fclose(file);
	return found ? &uncore : NULL;
}

/* As it was called before 6.5. */
#define perf_pmu__scan	perf_pmus__scan

#endif
