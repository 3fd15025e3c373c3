// SPDX-License-Identifier: GPL-2.0
/*
 * Does this virtual machine have a PMU that counts and interrupts?  One line for each
 * stage that is passed, numbers in hexadecimal: harness/doctor/findings.py reads them.
 */
#include "probe.h"

#define WORK		10000		/* instructions, at the least */
#define PATIENCE	100		/* times WORK until the counter overflows */

static volatile u64 overflows;

static void say_line(const char *word, u64 number)
{
	say(word);
	say_number(number);
	say("\n");
}

static void work(void)
{
	for (int i = 0; i < WORK; i++)
		asm volatile("");
}

void probe(void)
{
	u64 counted;

	say("booted\n");
	start_machine();
	if (!find_pmu())
		leave();
	set_counter(0, 0);
	start_counters(1);
	work();
	stop_counters(1);
	counted = read_counter(0);
	say_line("counter ", counted);
	if (!counted)
		leave();

	set_counter(0, -(u64)(WORK / 2));
	start_counters(1);
	for (int i = 0; i < PATIENCE && !overflows; i++)
		work();
	stop_counters(1);
	say_line("overflow ", overflows);
	say("done\n");
	leave();
}

void overflowed(int n)
{
	(void)n;
	overflows++;
}
