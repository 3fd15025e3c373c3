// SPDX-License-Identifier: GPL-2.0
/*
 * Overflows: with -icount an interrupt comes at the very instruction, which is
 * compared with where a single-stepped run of the same code was after so many.
 * Without, it comes some time later, and never before.
 */
#include "tests.h"

#define BOTH		(EVNTSEL_USR | EVNTSEL_OS)
#define DISTANCES	300
#define LATEST		200000000	/* iterations of code_wait */

static void no_pmis(void)
{
	struct cpu *cpu = this_cpu();

	clear_counters();
	cpu->pmis = 0;
	cpu->pmi_msr = 0;
	cpu->pmi_lvtpc = 0;
	cpu->pmi_index = counters[0].index;
}

/* Interrupts of the other kind that are under way arrive. */
static void drain(void)
{
	asm volatile("sti; nop; nop; cli");
}

static u32 delivery(bool nmi)
{
	return nmi ? LVT_NMI : VECTOR_PMI;
}

/* A window whose counter overflows after so many events. */
static struct window overflow_window(const struct counter *counter, enum event event,
				     u64 bits, u64 distance, const void *code,
				     u64 number, bool nmi)
{
	struct window window = window_on(counter,
					 selection(counter, event, bits | EVNTSEL_INT),
					 code, number);

	no_pmis();
	set(counter, -distance);
	apic_write(APIC_LVTPC, delivery(nmi));
	this_cpu()->pmi_index = counter->index;
	window.flags |= nmi ? 0 : EFLAGS_IF;
	return window;
}

/* Where a code is after each of its instructions: step_rip[0] after the first. */
static void trace(enum level level, const void *code, u64 number)
{
	struct window window = window_on(&counters[0], 0, code, number);
	struct cpu *cpu = this_cpu();

	clear_counters();
	cpu->steps = 0;
	set_gate(VECTOR_DB, on_step);
	window.flags |= EFLAGS_TF;
	run(level, &window);
	reset_gate(VECTOR_DB);
}

/* At level 0 the instruction that begins the window is traced, and not counted. */
static u64 traced(enum level level, u64 instructions)
{
	return this_cpu()->step_rip[instructions - (level == USER ? 1 : 0)];
}

static const struct counter *for_instructions(u64 turn)
{
	const struct counter *counter = &counters[turn % all_counters];

	return is_for_instructions(counter) ? counter : &counters[0];
}

static void check_skid(enum level level, u64 distance, bool nmi)
{
	const struct counter *counter = for_instructions(distance);
	struct window window = overflow_window(counter, INSTRUCTIONS,
					       level == USER ? EVNTSEL_USR : EVNTSEL_OS,
					       distance, code_mix, 0, nmi);
	struct cpu *cpu = this_cpu();

	run(level, &window);
	drain();
	check_that(cpu->pmis, 1, "overflow at %lu in %s, counter %s", distance,
		   level_names[level], name_of(counter));
	if (!cpu->pmis)
		return;
	check_that(cpu->pmi_rip[0], traced(level, distance),
		   "where after %lu in %s, counter %s, by %s", distance,
		   level_names[level], name_of(counter), nmi ? "NMI" : "vector");
	if (level == USER)
		check_that(cpu->pmi_count[0], 0, "skid after %lu", distance);
}

static void check_distances(enum level level, bool nmi)
{
	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	trace(level, code_mix, 0);
	for (u64 distance = 1; distance <= DISTANCES; distance++)
		check_skid(level, distance, nmi);
	no_pmis();
}

static void test_user_nmi(void)
{
	check_distances(USER, true);
}

static void test_user_vector(void)
{
	check_distances(USER, false);
}

static void test_kernel_nmi(void)
{
	check_distances(KERNEL, true);
}

static void test_kernel_vector(void)
{
	check_distances(KERNEL, false);
}

/* Traps after each of its instructions are where the next one is. */
static bool is_traceable(const struct code *code, enum level level)
{
	/*
	 * Nothing is trapped after an INT or after a write of SS; debug registers trap
	 * by themselves; an instruction that is its own successor looks like a string's.
	 */
	static const char *const others[] = {
		"interrupt", "compatibility", "stack_segment", "watchpoint", "breakpoint",
		"loop_instruction"
	};

	for (u32 i = 0; i < ARRAY_SIZE(others); i++)
		if (code == find_code(others[i]))
			return false;
	return runs(code, level) && !code->intel &&
	       !(level == KERNEL && code->exceptions);
}

/* An overflow by a SYSCALL interrupts what that leads to. */
static bool is_system_call(enum level level, u64 distance)
{
	const u8 *before = (const u8 *)traced(level, distance) - 2;

	return level == USER && before[0] == 0x0f && before[1] == 0x05;
}

static void check_code_overflow(const struct code *code, enum level level, u64 distance)
{
	struct window window = overflow_window(&counters[distance % 3], INSTRUCTIONS,
					       level == USER ? EVNTSEL_USR : EVNTSEL_OS,
					       distance, code->entry, 3, true);
	struct cpu *cpu = this_cpu();
	u64 where = traced(level, distance);

	if (is_system_call(level, distance))
		where = (u64)system_call;
	if (code->prepare)
		code->prepare();
	run(level, &window);
	if (code->finish)
		code->finish();
	check_that(cpu->pmis, 1, "%s in %s, %lu", code->name, level_names[level], distance);
	check_that(cpu->pmi_rip[0], where, "%s in %s, where after %lu", code->name,
		   level_names[level], distance);
}

/* In each code, after each of its instructions. */
static void test_codes(void)
{
	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	for (int i = 0; i < 2 * number_of_codes; i++) {
		const struct code *code = &codes[i / 2];
		enum level level = i % 2;
		u64 length;

		if (!is_traceable(code, level))
			continue;
		if (code->prepare)
			code->prepare();
		trace(level, code->entry, 3);
		if (code->finish)
			code->finish();
		length = code->once.instructions + 3 * code->each.instructions;
		for (u64 distance = 1; distance <= length; distance++)
			check_code_overflow(code, level, distance);
	}
	no_pmis();
}

static void test_far_away(void)
{
	static const u64 distances[] = { 1000, 4096, 65537, 1000003, 5000000 };
	struct cpu *cpu = this_cpu();

	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = for_instructions(i);
		u64 distance = distances[i % ARRAY_SIZE(distances)];
		struct window window = overflow_window(counter, INSTRUCTIONS, EVNTSEL_USR,
						       distance, code_loop,
						       distance / 2 + 100, true);

		run(USER, &window);
		check_that(cpu->pmis, 1, "overflow at %lu", distance);
		check_that(cpu->pmi_rip[0], loop_rip(distance), "where after %lu", distance);
		check_that(cpu->pmi_count[0], 0, "skid after %lu", distance);
	}
	no_pmis();
}

/* Cycles come as instructions do; branches are the call and the loop's. */
static void test_other_events(void)
{
	struct cpu *cpu = this_cpu();
	const struct counter *last = &counters[all_counters - 1];
	struct window window;

	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	for (u64 distance = 1; distance < 60; distance++) {
		window = overflow_window(&counters[1], CYCLES, EVNTSEL_USR, distance,
					 code_loop, 100, true);
		run(USER, &window);
		check_that(cpu->pmis, 1, "cycles, overflow at %lu", distance);
		check_that(cpu->pmi_rip[0], loop_rip(distance), "cycles, %lu", distance);

		window = overflow_window(&counters[2], BRANCHES, EVNTSEL_USR, distance,
					 code_loop, 100, true);
		run(USER, &window);
		check_that(cpu->pmis, 1, "branches, overflow at %lu", distance);
		check_that(cpu->pmi_rip[0],
			   (u64)(distance == 1 ? code_loop : code_loop_first),
			   "branches, %lu", distance);

		if (!is_intel)
			continue;
		window = overflow_window(last, REFERENCE, EVNTSEL_USR,
					 distance << icount_shift, code_loop, 100, true);
		run(USER, &window);
		check_that(cpu->pmis, 1, "reference, overflow at %lu", distance);
		check_that(cpu->pmi_rip[0], loop_rip(distance), "reference, %lu", distance);
	}
	no_pmis();
}

/* In any mode: an interrupt comes, once, not before the overflow, and all is counted. */
static void check_comes(const struct counter *counter, u64 distance, bool nmi)
{
	struct window window = overflow_window(counter, INSTRUCTIONS, EVNTSEL_USR, distance,
					       code_wait, LATEST, nmi);
	struct cpu *cpu = this_cpu();

	run(USER, &window);
	check_that(cpu->pmis, 1, "overflow at %lu, counter %s", distance, name_of(counter));
	check_that(cpu->pmi_count[0] < MASK / 2, true, "not early at %lu, counter %s: %lx",
		   distance, name_of(counter), cpu->pmi_count[0]);
	check_that(get(counter) >= cpu->pmi_count[0] && get(counter) < LATEST, true,
		   "counter %s goes on: %lu", name_of(counter), get(counter));
}

static void test_comes(void)
{
	static const u64 distances[] = { 1, 2, 17, 300, 20000, 3000000 };

	for (u32 i = 0; i < ARRAY_SIZE(distances); i++) {
		for (int n = 0; n < all_counters; n++) {
			if (!is_for_instructions(&counters[n]))
				continue;
			check_comes(&counters[n], distances[i], true);
			check_comes(&counters[n], distances[i], false);
		}
	}
	no_pmis();
}

/* All counters that can, each so far away; NMIs, and LVTPC is set anew by each. */
static void run_together(const u64 *distances)
{
	u64 selected = selection(&counters[0], INSTRUCTIONS, EVNTSEL_USR | EVNTSEL_INT);
	struct window window = window_on(&counters[0], selected, code_mix, 0);

	no_pmis();
	this_cpu()->pmi_lvtpc = is_intel ? LVT_NMI : 0;
	for (int i = 1; i < general_counters; i++) {
		set(&counters[i], -distances[i]);
		wrmsr(counters[i].select, selected);
	}
	set(&counters[0], -distances[0]);
	apic_write(APIC_LVTPC, LVT_NMI);
	run(USER, &window);
}

static void test_same_moment(void)
{
	static const u64 distances[] = { 50, 50, 50, 50, 50, 50 };
	struct cpu *cpu = this_cpu();

	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	trace(USER, code_mix, 0);
	run_together(distances);
	check_that(cpu->pmis, 1, "interrupts");
	check_that(cpu->pmi_rip[0], traced(USER, 50), "where");
	if (is_intel)
		check_that(rdmsr(GLOBAL_STATUS), BIT(general_counters) - 1, "status");
	no_pmis();
}

static void test_one_after_the_other(void)
{
	static const u64 distances[] = { 61, 50, 51, 53, 99, 100 };
	static const u64 order[] = { 50, 51, 53, 61, 99, 100 };
	struct cpu *cpu = this_cpu();

	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	trace(USER, code_mix, 0);
	run_together(distances);
	check_that(cpu->pmis, general_counters, "interrupts");
	for (int i = 0; i < general_counters; i++)
		check_that(cpu->pmi_rip[i], traced(USER, order[i]), "where after %lu",
			   order[i]);
	no_pmis();
}

/* As a profiler does it: each interrupt sets the counter to overflow after as many. */
static void check_period(u64 period, u64 number)
{
	const struct counter *counter = &counters[0];
	struct window window = overflow_window(counter, INSTRUCTIONS, EVNTSEL_USR, period,
					       code_loop, number, true);
	struct cpu *cpu = this_cpu();
	u64 length = expected(find_code("loop"), number, USER, INSTRUCTIONS, EVNTSEL_USR);
	u64 inside = length - 3;	/* ret, mov, syscall are elsewhere */

	cpu->pmi_msr = counter->value;
	cpu->pmi_value = -period;
	cpu->pmi_lvtpc = is_intel ? LVT_NMI : 0;
	run(USER, &window);
	check_that(cpu->pmis, length / period, "interrupts, period %lu", period);
	for (u64 k = 0; k < cpu->pmis && k < PMI_MAX; k++)
		if ((k + 1) * period < inside)
			check_that(cpu->pmi_rip[k], loop_rip((k + 1) * period),
				   "where, period %lu, overflow %lu", period, k);
	check_that(get(counter), (length % period - period) & MASK, "what is left of %lu",
		   period);
}

static void test_periods(void)
{
	if (icount_shift < 0) {
		skip("exact with -icount only");
		return;
	}
	check_period(1, 200);
	check_period(2, 200);
	check_period(3, 500);
	check_period(7, 2000);
	check_period(1000, 200000);
	check_period(99991, 2000000);
	no_pmis();
}

/* With -icount or not, a period's overflows all come, some of them late. */
static void test_no_interrupt(void)
{
	struct window window = overflow_window(&counters[0], INSTRUCTIONS, EVNTSEL_USR, 50,
					       code_loop, 100000, true);
	struct cpu *cpu = this_cpu();

	window.on &= ~EVNTSEL_INT;
	run(USER, &window);
	check_that(cpu->pmis, 0, "interrupts without INT");

	window = overflow_window(&counters[0], INSTRUCTIONS, EVNTSEL_USR, 50, code_loop,
				 100000, true);
	apic_write(APIC_LVTPC, LVT_NMI | LVT_MASKED);
	run(USER, &window);
	apic_write(APIC_LVTPC, LVT_NMI);
	drain();
	check_that(cpu->pmis, 0, "interrupts while LVTPC is masked");
	no_pmis();
}

/* SDM volume 3, "Local Vector Table": delivery of Intel's sets the mask bit. */
static void test_mask(void)
{
	struct window window;
	u32 lvtpc;

	for (int nmi = 0; nmi <= 1; nmi++) {
		window = overflow_window(&counters[0], INSTRUCTIONS, EVNTSEL_USR, 50,
					 code_wait, LATEST, nmi);
		run(USER, &window);
		check_that(this_cpu()->pmis, 1, "interrupts");
		lvtpc = delivery(nmi) | (is_intel ? LVT_MASKED : 0);
		check_that(apic_read(APIC_LVTPC), lvtpc, "LVTPC");
	}
	no_pmis();
}

/* With EFLAGS.IF clear an interrupt waits. */
static void test_held_back(void)
{
	struct window window = overflow_window(&counters[0], INSTRUCTIONS, EVNTSEL_OS, 50,
					       code_loop, 1000000, false);
	struct cpu *cpu = this_cpu();

	window.flags = EFLAGS;
	run(KERNEL, &window);
	check_that(cpu->pmis, 0, "interrupts while IF is clear");
	drain();
	check_that(cpu->pmis, 1, "interrupts when it is set");
	no_pmis();
}

/* The node's clock overflows in hlt, and ends it. */
static void test_clock_in_halt(void)
{
	struct window window;
	struct cpu *cpu = this_cpu();
	u64 tsc;

	if (is_intel) {
		skip("of AMD only");
		return;
	}
	window = overflow_window(&counters[2], CLOCK, 0, 200000, code_halt, 0, false);
	window.flags = EFLAGS;
	tsc = rdtsc();
	run(KERNEL, &window);
	tsc = rdtsc() - tsc;
	check_that(cpu->pmis, 1, "interrupts");
	check_that(cpu->pmi_count[0] < 200000 || icount_shift < 0, true, "late by %lu ns",
		   cpu->pmi_count[0]);
	if (icount_shift >= 0)
		check_that(tsc >= 200000 && tsc < 210000, true, "%lu ns", tsc);
	no_pmis();
}

/*
 * A counter of user space, two instructions before its end, while the CPU is halted
 * or in the kernel, for a time in which a timer of 2 ns would never come to an end.
 */
static void check_waiting(const void *code, u64 number)
{
	struct window window = overflow_window(&counters[0], INSTRUCTIONS, EVNTSEL_USR, 2,
					       code, number, true);
	struct cpu *cpu = this_cpu();

	window.off = window.on;
	apic_write(APIC_TIMER, VECTOR_TIMER);
	if (code == code_halt)
		apic_write(APIC_COUNT, 100000000);
	run(KERNEL, &window);
	check_that(cpu->pmis, 0, "interrupts before");
	check_that(get(&counters[0]), MASK - 1, "counter before");

	window.code = code_loop;
	window.off = 0;
	window.arg = LATEST / 1000;
	run(USER, &window);
	check_that(cpu->pmis, 1, "interrupts after");
	if (icount_shift >= 0)
		check_that(cpu->pmi_rip[0], loop_rip(2), "where");
	no_pmis();
}

/*
 * The kernel's counter, and user space in between: iretq; test, jnz, 3 mov and the
 * wrmsr that ends the window.
 */
static void test_waiting_in_user(void)
{
	const u64 where[] = {
		(u64)in_user_space, (u64)system_call + 2, (u64)system_call + 7,
		(u64)system_call + 10, (u64)system_call + 13, (u64)system_call + 16,
		(u64)system_call + 18,
	};
	struct cpu *cpu = this_cpu();

	for (u32 i = 0; i < ARRAY_SIZE(where); i++) {
		struct window window = overflow_window(&counters[1], INSTRUCTIONS, EVNTSEL_OS,
						       i + 1, code_loop, 300000, true);

		run(USER, &window);
		if (icount_shift < 0)
			continue;
		check_that(cpu->pmis, 1, "interrupts after %u", i + 1);
		check_that(cpu->pmi_rip[0], where[i], "where after %u", i + 1);
	}
	no_pmis();
}

static void test_waiting_in_halt(void)
{
	check_waiting(code_halt, 0);
}

static void test_waiting_in_kernel(void)
{
	check_waiting(code_loop, 2000000);
}

/* The kernel's counter, close to its end, in hlt. */
static void test_halted_before_overflow(void)
{
	struct window window = overflow_window(&counters[0], INSTRUCTIONS, EVNTSEL_OS, 4,
					       code_halt, 0, true);
	struct cpu *cpu = this_cpu();

	apic_write(APIC_TIMER, VECTOR_TIMER);
	apic_write(APIC_COUNT, 100000000);
	run(KERNEL, &window);		/* call, sti, hlt; then the timer's handler */
	check_that(cpu->pmis, 1, "interrupts");
	if (icount_shift >= 0)
		check_that(cpu->pmi_rip[0] - (u64)on_timer, 9, "where in the handler");
	no_pmis();
}

const struct test overflow_tests[] = {
	{ "user-nmi", test_user_nmi },
	{ "user-vector", test_user_vector },
	{ "kernel-nmi", test_kernel_nmi },
	{ "kernel-vector", test_kernel_vector },
	{ "codes", test_codes },
	{ "far-away", test_far_away },
	{ "other-events", test_other_events },
	{ "comes", test_comes },
	{ "same-moment", test_same_moment },
	{ "one-after-the-other", test_one_after_the_other },
	{ "periods", test_periods },
	{ "no-interrupt", test_no_interrupt },
	{ "mask", test_mask },
	{ "held-back", test_held_back },
	{ "clock-in-halt", test_clock_in_halt },
	{ "waiting-in-halt", test_waiting_in_halt },
	{ "waiting-in-kernel", test_waiting_in_kernel },
	{ "waiting-in-user", test_waiting_in_user },
	{ "halted-before-overflow", test_halted_before_overflow },
};
const int number_of_overflow_tests = ARRAY_SIZE(overflow_tests);
