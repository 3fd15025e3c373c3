// SPDX-License-Identifier: GPL-2.0
/* Several CPUs: each has counters of its own; and what INIT leaves of them. */
#include "tests.h"

#define BOTH	(EVNTSEL_USR | EVNTSEL_OS)
#define LOOPS	1000000

/* Loops on this CPU, counted at both levels; all CPUs do it at once. */
static bool count_here(void)
{
	const struct code *code = find_code("loop");

	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		u64 number = LOOPS / 8 + 1000 * this_cpu()->id;
		struct window window = window_on(counter, 0, code->entry, number);

		if (!is_for_instructions(counter))
			continue;
		clear_counters();
		window.on = selection(counter, INSTRUCTIONS, BOTH);
		run(USER, &window);
		check_that(get(counter), expected(code, number, USER, INSTRUCTIONS, BOTH),
			   "CPU %u, counter %s", this_cpu()->id, name_of(counter));
	}
	return true;
}

static void on_all(bool (*job)(void))
{
	for (int id = 1; id < cpus; id++)
		start_job(id, job);
	job();
	for (int id = 1; id < cpus; id++)
		finish_job(id);
}

static bool alone(void)
{
	if (cpus > 1)
		return false;
	skip("one CPU");
	return true;
}

static void test_counts(void)
{
	if (!alone())
		on_all(count_here);
}

static bool set_own(void)
{
	clear_counters();
	for (int i = 0; i < all_counters; i++)
		set(&counters[i], 1000 * (this_cpu()->id + 1) + i);
	if (is_intel)
		wrmsr(GLOBAL_CTRL, this_cpu()->id + 1);
	return true;
}

static bool check_own(void)
{
	u32 id = this_cpu()->id;

	for (int i = 0; i < all_counters; i++)
		check_that(get(&counters[i]), 1000 * (id + 1) + i, "CPU %u, counter %s", id,
			   name_of(&counters[i]));
	if (is_intel)
		check_that(rdmsr(GLOBAL_CTRL), id + 1, "CPU %u, GLOBAL_CTRL", id);
	clear_counters();
	return true;
}

static void test_registers(void)
{
	if (alone())
		return;
	on_all(set_own);
	on_all(check_own);
}

static bool overflow_here(void)
{
	struct cpu *cpu = this_cpu();
	u64 selected = selection(&counters[0], INSTRUCTIONS, EVNTSEL_USR | EVNTSEL_INT);
	struct window window = window_on(&counters[0], selected, code_wait, 200000000);

	clear_counters();
	cpu->pmis = cpu->pmi_msr = cpu->pmi_lvtpc = 0;
	cpu->pmi_index = counters[0].index;
	set(&counters[0], -5000ull);
	apic_write(APIC_LVTPC, LVT_NMI);
	run(USER, &window);
	check_that(cpu->pmis, 1, "interrupts of CPU %u", cpu->id);
	if (icount_shift >= 0)
		check_that(cpu->pmi_count[0], 0, "skid of CPU %u", cpu->id);
	clear_counters();
	return true;
}

/* An interrupt goes to the CPU whose counter overflowed. */
static void test_overflow(void)
{
	if (alone())
		return;
	this_cpu()->pmis = 0;
	start_job(cpus - 1, overflow_here);
	finish_job(cpus - 1);
	check_that(this_cpu()->pmis, 0, "interrupts of another CPU");
	on_all(overflow_here);
}

static bool prepare_init(void)
{
	clear_counters();
	for (int i = 0; i < all_counters; i++)
		set(&counters[i], 12345 + i);
	/* Counting user space, where this CPU does not go */
	wrmsr(counters[1].select, selection(&counters[1], INSTRUCTIONS, EVNTSEL_USR));
	if (is_intel)
		wrmsr(GLOBAL_CTRL, 0x3);
	return true;
}

/* SDM volume 3, table "Processor States Following ... INIT": counters are unchanged. */
static bool check_init(void)
{
	for (int i = 0; i < all_counters; i++)
		check_that(get(&counters[i]), 12345 + i, "counter %s after INIT",
			   name_of(&counters[i]));
	check_that(rdmsr(counters[1].select),
		   selection(&counters[1], INSTRUCTIONS, EVNTSEL_USR), "select after INIT");
	if (is_intel)
		check_that(rdmsr(GLOBAL_CTRL), 0x3, "GLOBAL_CTRL after INIT");
	clear_counters();
	return true;
}

static void test_init(void)
{
	int id = cpus - 1;
	u32 inits = cpu_data[id].inits;

	if (alone())
		return;
	start_job(id, prepare_init);
	finish_job(id);
	send_init(id);
	send_startup(id);
	wait_up(id);
	check_that(cpu_data[id].inits, inits + 1, "starts");
	start_job(id, check_init);
	finish_job(id);
	start_job(id, overflow_here);
	finish_job(id);
}

const struct test smp_tests[] = {
	{ "counts", test_counts },
	{ "registers", test_registers },
	{ "overflow", test_overflow },
	{ "init", test_init },
};
const int number_of_smp_tests = ARRAY_SIZE(smp_tests);
