/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A scenario as text: events, tasks, steps.  harness/build/recipe.py writes
 * it from configs/scenarios, so that what is wrong with it is a bug of ours.
 *
 *	event NAME key=value ...
 *	task NAME
 *	 step ...
 *	main
 *	 step ...
 */
#ifndef PROBES_SCRIPT_H
#define PROBES_SCRIPT_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>

#define MAX_EVENTS	40
#define MAX_TASKS	8
#define MAX_STEPS	96
#define MAX_WORDS	4

struct event_spec {
	const char *name, *leader, *task, *cgroup;
	int cpu;
	struct perf_event_attr attr;
	bool watched;		/* user space may read the counter, and sees its index */
	bool signals;		/* each overflow delivers a signal */
};

/* Words: the verb and its arguments; missing ones are "". */
struct step {
	const char *words[MAX_WORDS];
};

struct task_spec {
	const char *name;
	struct step steps[MAX_STEPS];
	int number;
};

struct script {
	struct event_spec events[MAX_EVENTS];
	int events_number;
	struct task_spec tasks[MAX_TASKS];	/* the first one is "main" */
	int tasks_number;
};

/* Read the scenario; exits with a record when it is not one. */
struct script *read_script(const char *path);

/* A variable whose writes a breakpoint event counts. */
extern volatile uint64_t watched_variable;

#endif
