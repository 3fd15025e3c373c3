// SPDX-License-Identifier: GPL-2.0
/*
 * Does this virtual machine have a PMU that counts and interrupts?  One line for each
 * stage that is passed, numbers in hexadecimal: harness/doctor/findings.py reads them.
 */
#include "probe.h"

#define WORK		10000		/* instructions, at the least */
#define PATIENCE	100		/* times WORK until the counter overflows */

volatile u64 overflows;

void say(const char *word)
{
	while (*word)
		put(*word++);
}

void say_number(u64 number)
{
	int shift = 60;

	while (shift && !(number >> shift))
		shift -= 4;
	say("0x");
	for (; shift >= 0; shift -= 4)
		put("0123456789abcdef"[number >> shift & 0xf]);
}

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
	start_counter(0);
	work();
	counted = stop_counter();
	say_line("counter ", counted);
	if (!counted)
		leave();

	start_counter(-(u64)(WORK / 2));
	for (int i = 0; i < PATIENCE && !overflows; i++)
		work();
	stop_counter();
	say_line("overflow ", overflows);
	say("done\n");
	leave();
}

void unexpected(u64 what, u64 where)
{
	say("exception ");
	say_number(what);
	say_line(" at ", where);
	leave();
}
