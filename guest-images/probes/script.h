/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A scenario as text: events, tasks, steps.  harness/build/recipe.py writes
 * it from configs/scenarios, so that what is wrong with it is a bug of ours.
 *
 *	quiet
 *	event NAME key=value ... attr.FIELD=value ...
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

#define MAX_EVENTS	96
#define MAX_TASKS	8
#define MAX_STEPS	192
#define MAX_WORDS	4

struct event_spec {
	const char *name, *leader, *task, *cgroup;
	int cpu;
	struct perf_event_attr attr;
	unsigned long flags;	/* of perf_event_open(2), beside what the scope takes */
	size_t ring;		/* pages; what finds no room there is lost, and may be */
	size_t aux;		/* pages of an AUX buffer, which is written over or not */
	bool overwrite;
	bool late;		/* a step opens it */
	bool may_be_refused;
	bool watched;		/* user space may read the counter, and sees its index */
	bool paged;		/* its page's times are noted beside each read */
	bool signals;		/* each overflow delivers a signal */
};

/* Words: the verb and its arguments; missing ones are "". */
struct step {
	const char *words[MAX_WORDS];
	bool may_be_refused;	/* begins with a ? */
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
	bool quiet;		/* main reads where a step says so, and at the end */
};

#define STEP_TEXT	256

/* A step's words as the scenario has them, in `text` of STEP_TEXT bytes. */
const char *step_text(const struct step *step, char *text);

/* Say how the kernel answered what it may refuse; `error` is 0 where it did not. */
void record_answer(const char *what, int error);
void answer_step(const struct step *step, int error);

/* Read the scenario; exits with a record when it is not one. */
struct script *read_script(const char *path);

/* Variables whose writes a breakpoint event counts: the first, until it is told otherwise. */
enum { FIRST_VARIABLE, SECOND_VARIABLE, WATCHED_VARIABLES };
extern volatile uint64_t watched_variables[WATCHED_VARIABLES];

#endif
