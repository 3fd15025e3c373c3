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
	if (counter == 3 && !is_intel)
		return CLOCK;
	return counter == 1 ? BRANCHES : counter == 2 ? CYCLES : INSTRUCTIONS;
}

struct times {
	u64 clock, tsc;
};

/* The node's clock and the TSC, always so many instructions apart. */
static __attribute__((noinline)) struct times read_times(void)
{
	u64 clock = get(&counters[3]);

	return (struct times){ clock, rdtsc() };
}

static void check_counters(const struct code *code)
{
	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		enum event event = counter->fixed ? counter->event : event_of(i);
		u64 want = expected(code, NUMBER, USER, event, EVNTSEL_USR);

		if (event == CLOCK)
			continue;
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
	struct times before, after;

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
	before = read_times();
	print("ready\n");
	run(USER, &window);
	after = read_times();
	check_counters(code);
	check_that(cpu->pmis, 1, "overflows");
	if (icount_shift >= 0 && !is_intel)
		check_that(after.clock - before.clock, after.tsc - before.tsc, "clock");
	if (icount_shift >= 0) {
		check_that(cpu->pmi_rip[0], loop_rip(DISTANCE), "where");
		check_that(cpu->pmi_count[0], 0, "skid");
	}
	clear_counters();
}
