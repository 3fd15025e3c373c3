// SPDX-License-Identifier: GPL-2.0
/*
 * A long loop, somewhere in which the machine is stopped, saved, and goes on
 * elsewhere: the counts are those of a loop that was not disturbed.
 */
#include "tests.h"

#define NUMBER		150000000ull
#define DISTANCE	250000001ull

static enum event event_of(int counter)
{
	return counter == 1 ? BRANCHES : counter == 2 ? CYCLES : INSTRUCTIONS;
}

static void check_counters(const struct code *code)
{
	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		enum event event = counter->fixed ? counter->event : event_of(i);
		u64 want = expected(code, NUMBER, USER, event, EVNTSEL_USR);

		check_that(get(counter), i ? want : want - DISTANCE, "counter %s, %s",
			   name_of(counter), event_names[event]);
	}
}

void test_migration(void)
{
	const struct code *code = find_code("loop");
	struct cpu *cpu = this_cpu();
	struct window window;
	u64 fixed = 0, bits = EVNTSEL_USR | EVNTSEL_INT;

	clear_counters();
	for (int i = 1; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		u64 selected = selection(counter, event_of(i), EVNTSEL_USR);

		fixed |= counter->fixed ? selected : 0;
		wrmsr(counter->select, counter->fixed ? fixed : selected);
	}
	window = window_on(&counters[0], selection(&counters[0], INSTRUCTIONS, bits),
			   code->entry, NUMBER);
	set(&counters[0], -DISTANCE);
	if (is_intel)	/* bit 31 is extended: further away than that it cannot be */
		check_that(get(&counters[0]), MASK + 1 - DISTANCE, "the start");
	cpu->pmis = 0;
	cpu->pmi_index = 0;
	apic_write(APIC_LVTPC, LVT_NMI);
	print("ready\n");
	run(USER, &window);
	check_counters(code);
	check_that(cpu->pmis, 1, "overflows");
	if (icount_shift >= 0) {
		check_that(cpu->pmi_rip[0], loop_rip(DISTANCE), "where");
		check_that(cpu->pmi_count[0], 0, "skid");
	}
	clear_counters();
}
