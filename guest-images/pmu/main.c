// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the PMU that TCG's x86 CPUs have with our patch: one line for each, by
 * name.  The command line says what CPUID does not: "icount=SHIFT cpus=N"; and
 * "migrate" for the one test that is interrupted from outside.
 */
#include "tests.h"

#define MULTIBOOT_COMMAND_LINE	0x4
#define RESET_PORT		0xcf9
#define RESET_CPU		0x06
/* Beyond the image, which a reset loads again */
#define AFTER_RESET		(*(volatile u64 *)0x900000)
#define MAGIC			0x706d752d74657374ull

int icount_shift = -1, cpus = 1;
static bool migrates, failed;

_Static_assert(offsetof(struct cpu, rsp) == CPU_RSP, "layout.h");
_Static_assert(offsetof(struct cpu, fault) == CPU_FAULT, "layout.h");
_Static_assert(offsetof(struct cpu, page) == CPU_PAGE, "layout.h");
_Static_assert(offsetof(struct cpu, pmi_rip) == CPU_PMI_RIP, "layout.h");
_Static_assert(offsetof(struct cpu, pmi_count) == CPU_PMI_COUNT, "layout.h");
_Static_assert(offsetof(struct cpu, step_rip) == CPU_STEP_RIP, "layout.h");
_Static_assert(offsetof(struct window, stack) == WINDOW_STACK, "layout.h");

static bool begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return false;
	return true;
}

static void read_command_line(void)
{
	const u32 *info = (const u32 *)(u64)boot_info;
	const char *line = "";

	if (info[0] & MULTIBOOT_COMMAND_LINE)
		line = (const char *)(u64)info[4];
	for (; *line; line++) {
		if (begins(line, "icount="))
			icount_shift = line[7] - '0';
		if (begins(line, "cpus="))
			cpus = line[5] - '0';
		if (begins(line, "migrate"))
			migrates = true;
	}
}

/* What the CPUs have to say of a test: a line, or one for each failure. */
static void report(const char *group, const char *name)
{
	int failures = 0;

	for (int id = 0; id < cpus; id++) {
		struct cpu *cpu = &cpu_data[id];

		for (int i = 0; i < cpu->failures && i < MESSAGES; i++)
			print("not ok %s%s %s\n", group, name, cpu->messages[i]);
		if (cpu->failures > MESSAGES)
			print("not ok %s%s and %d more\n", group, name,
			      cpu->failures - MESSAGES);
		failures += cpu->failures;
		cpu->failures = 0;
	}
	if (failures)
		failed = true;
	else if (this_cpu()->skipped)
		print("skip %s%s %s\n", group, name, this_cpu()->skipped);
	else
		print("ok %s%s\n", group, name);
	this_cpu()->skipped = NULL;
}

static void run_tests(const char *group, const struct test *tests, int number)
{
	for (int i = 0; i < number; i++) {
		tests[i].run();
		report(group, tests[i].name);
	}
}

static const struct code *current_code;

static bool check_current_code(void)
{
	static const u64 numbers[] = { 1, 2, 3, 50 };
	bool has_number = current_code->each.instructions || current_code->each.cycles;

	clear_counters();
	for (u32 i = 0; i < (has_number ? ARRAY_SIZE(numbers) : 1); i++)
		check_code(current_code, has_number ? numbers[i] : 0);
	if (current_code->each.cycles)
		check_code(current_code, 3000);
	return true;
}

/* On all CPUs at once. */
static void run_codes(void)
{
	for (int i = 0; i < number_of_codes; i++) {
		current_code = &codes[i];
		if (!runs(current_code, KERNEL) && !runs(current_code, USER))
			skip("of Intel only");
		for (int id = 1; id < cpus; id++)
			start_job(id, check_current_code);
		check_current_code();
		for (int id = 1; id < cpus; id++)
			finish_job(id);
		report("code-", current_code->name);
	}
}

static void run_all(void)
{
	for (int id = 1; id < cpus; id++) {
		send_init(id);
		send_startup(id);
		wait_up(id);
	}
	run_codes();
	run_tests("count-", count_tests, number_of_count_tests);
	run_tests("register-", register_tests, number_of_register_tests);
	run_tests("overflow-", overflow_tests, number_of_overflow_tests);
	run_tests("smp-", smp_tests, number_of_smp_tests);
}

/* The time of -icount is what all that went before took. */
static void tell_time(void)
{
	if (icount_shift >= 0)
		print("time %lu\n", rdtsc());
}

/* QEMU's main loop does it when it comes to it: the time is another one thereafter. */
static _Noreturn void reset(void)
{
	tell_time();
	AFTER_RESET = MAGIC ^ failed;
	dirty_for_reset();
	out8(RESET_PORT, RESET_CPU);
	for (;;)
		asm volatile("hlt");
}

static void end(void)
{
	print("end\n");
	leave(!failed);
}

void main_test(void)
{
	bool second = (AFTER_RESET ^ MAGIC) <= 1;

	read_command_line();
	find_counters();
	if (migrates) {
		test_migration();
		report("", "migration");
		tell_time();
		end();
	}
	if (second)
		failed = AFTER_RESET ^ MAGIC;
	AFTER_RESET = 0;
	check_reset();
	report("reset-", second ? "again" : "first");
	if (second)
		end();
	run_all();
	reset();
}
