/* SPDX-License-Identifier: GPL-2.0 */
/* PMUs in sysfs: their events, and steps on their attributes.  "hardware" is the CPU's own. */
#ifndef PROBES_PMU_H
#define PROBES_PMU_H

#include <linux/perf_event.h>
#include <stdbool.h>

struct step;

/* The attr of an event that a PMU lists; `name` is PMU:EVENT. */
struct perf_event_attr pmu_event_attr(const char *name);

/* Perform work, show, set or timers; false for any other step. */
bool pmu_step(const struct step *step);

#endif
