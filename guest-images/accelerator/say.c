// SPDX-License-Identifier: GPL-2.0
/* Words and hexadecimal numbers on the serial port. */
#include "probe.h"

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

void unexpected(u64 what, u64 where)
{
	say("exception ");
	say_number(what);
	say(" at ");
	say_number(where);
	say("\n");
	leave();
}
