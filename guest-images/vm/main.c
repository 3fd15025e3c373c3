// SPDX-License-Identifier: GPL-2.0
/*
 * What a virtual machine of the kernel under test does: it counts a loop with all its
 * counters at once, then has each of them overflow and reloads it from the interrupt, over
 * and over.  A line for each counter says what came of it and what must have:
 *
 *	counted COUNTER GOT WANTED
 *	overflows COUNTER GOT WANTED
 */
#include "../accelerator/probe.h"

#define PERIOD		20011
#define OVERFLOWS	3
#define FAR		BIT(31)		/* from an overflow: none comes of it */
#define ITERATIONS	1000000
/* An emulator may notice an overflow as late as the host's next tick. */
#define PATIENCE	1000		/* times so much work until the counters overflow */
#define WORK		10000

static volatile u64 overflows[COUNTERS];

void overflowed(int n)
{
	overflows[n]++;
	set_counter(n, overflows[n] < OVERFLOWS ? -(u64)PERIOD : -(u64)FAR);
}

static void say_result(const char *what, int n, u64 got, u64 wanted)
{
	say(what);
	say(" ");
	say_number(n);
	say(" ");
	say_number(got);
	say(" ");
	say_number(wanted);
	say("\n");
}

static void count(u32 iterations, u64 counted[])
{
	for (int n = 0; n < COUNTERS; n++)
		set_counter(n, 0);
	start_counters(COUNTERS);
	spin(iterations);
	stop_counters(COUNTERS);
	for (int n = 0; n < COUNTERS; n++)
		counted[n] = read_counter(n);
}

/* All that is not the loop is the same twice. */
static void count_loop(void)
{
	u64 few[COUNTERS], many[COUNTERS];

	count(1, few);
	count(1 + ITERATIONS, many);
	for (int n = 0; n < COUNTERS; n++)
		say_result("counted", n, many[n] - few[n], (u64)PER_ITERATION * ITERATIONS);
}

static bool all_overflowed(void)
{
	for (int n = 0; n < COUNTERS; n++)
		if (overflows[n] < OVERFLOWS)
			return false;
	return true;
}

static void overflow(void)
{
	for (int n = 0; n < COUNTERS; n++) {
		overflows[n] = 0;
		set_counter(n, -(u64)PERIOD);
	}
	start_counters(COUNTERS);
	for (int i = 0; i < PATIENCE && !all_overflowed(); i++)
		spin(WORK);
	spin(WORK);
	stop_counters(COUNTERS);
	for (int n = 0; n < COUNTERS; n++)
		say_result("overflows", n, overflows[n], OVERFLOWS);
}

void probe(void)
{
	u64 first[COUNTERS];

	start_machine();
	if (!find_pmu())
		leave();
	/* Once, for what happens but once, such as faults of the second stage. */
	count(1, first);
	for (;;) {
		count_loop();
		overflow();
	}
}
