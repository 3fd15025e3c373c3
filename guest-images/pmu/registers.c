// SPDX-License-Identifier: GPL-2.0
/* The counters' registers: widths, reserved bits, status, RDPMC, reset. */
#include "tests.h"

#define BOTH		(EVNTSEL_USR | EVNTSEL_OS)
#define CR4_PCE		BIT(8)
#define AMD_VALID	0x30fffd7ffffull

/* SDM, "IA32_PMCx": without full-width writes bit 31 is extended. */
static u64 kept(const struct counter *counter, u64 value)
{
	if (is_intel && !counter->fixed)
		value = (u64)(int32_t)value;
	return value & MASK;
}

static void test_width(void)
{
	static const u64 values[] = {
		0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0xff0123456789,
		0x7fffffffffff, 0x800000000000, MASK - 1, MASK, MASK + 1, -1ull, -5ull,
	};

	clear_counters();
	for (int i = 0; i < all_counters; i++) {
		for (u32 v = 0; v < ARRAY_SIZE(values); v++) {
			u64 got = 0;

			check_that(write_msr(counters[i].value, values[v]), -1,
				   "writing %lx to counter %s", values[v],
				   name_of(&counters[i]));
			check_that(get(&counters[i]), kept(&counters[i], values[v]),
				   "rdmsr, counter %s", name_of(&counters[i]));
			read_pmc(counters[i].index, &got);
			check_that(got, kept(&counters[i], values[v]),
				   "rdpmc, counter %s", name_of(&counters[i]));
		}
	}
	clear_counters();
}

/* A counter that comes to its end, or stops just before it. */
static void check_wrap(const struct counter *counter, u64 from)
{
	const struct code *code = find_code("loop");
	struct window window = window_on(counter,
					 selection(counter, INSTRUCTIONS, EVNTSEL_USR),
					 code->entry, 100);
	u64 sum = from + expected(code, 100, USER, INSTRUCTIONS, EVNTSEL_USR);

	clear_counters();
	set(counter, from);
	run(USER, &window);
	check_that(get(counter), sum & MASK, "counter %s from %lx", name_of(counter), from);
	if (is_intel)
		check_that(rdmsr(GLOBAL_STATUS), sum > MASK ? global_bit(counter) : 0,
			   "status, counter %s from %lx", name_of(counter), from);
}

static void test_wrap(void)
{
	u64 length = expected(find_code("loop"), 100, USER, INSTRUCTIONS, EVNTSEL_USR);

	for (int i = 0; i < all_counters; i++) {
		if (!is_for_instructions(&counters[i]))
			continue;
		for (int off = -3; off <= 3; off++)
			check_wrap(&counters[i], MASK + 1 - length + off);
		check_wrap(&counters[i], MASK);
	}
	clear_counters();
}

static void refused(u32 msr, u64 value)
{
	u64 before = rdmsr(msr);

	check_that(write_msr(msr, value), VECTOR_GP, "writing %lx to %x", value, msr);
	check_that(rdmsr(msr), before, "%x after a write that was refused", msr);
}

static void test_reserved_intel(void)
{
	u64 all = 0;

	for (int i = 0; i < all_counters; i++)
		all |= global_bit(&counters[i]);
	for (int bit = 0; bit < 64; bit++) {
		if (bit == 21 || bit >= 32)
			refused(counters[0].select, BIT(bit));
		if (!(all & BIT(bit)))
			refused(GLOBAL_CTRL, BIT(bit));
		if (!(all & BIT(bit)) && bit < 62)
			refused(GLOBAL_OVF_CTRL, BIT(bit));
		if (bit % 4 == 2 || bit >= 4 * fixed_counters)
			refused(FIXED_CTR_CTRL, BIT(bit));
		refused(GLOBAL_STATUS, BIT(bit));
	}
	wrmsr(counters[0].select, 0xffdfffff & ~EVNTSEL_EN);
	check_that(rdmsr(counters[0].select), 0xffdfffff & ~EVNTSEL_EN, "what is kept");
}

static void test_reserved_amd(void)
{
	for (int i = 0; i < general_counters; i++) {
		check_that(write_msr(counters[i].select, ~EVNTSEL_EN), -1,
			   "writing all bits to select %d", i);
		check_that(rdmsr(counters[i].select), AMD_VALID & ~EVNTSEL_EN,
			   "select %d", i);
	}
}

static void test_reserved(void)
{
	clear_counters();
	if (is_intel)
		test_reserved_intel();
	else
		test_reserved_amd();
	clear_counters();
}

/* APM: the four counters of the K7 are the first of the six. */
static void test_both_addresses(void)
{
	if (!has_core) {
		skip("no core counters");
		return;
	}
	clear_counters();
	for (int i = 0; i < 4; i++) {
		wrmsr(K7_EVNTSEL + i, 0xc0 + i);
		wrmsr(K7_PERFCTR + i, 1000 + i);
		check_that(rdmsr(CORE_PERF_CTL + 2 * i), 0xc0 + i, "select %d", i);
		check_that(rdmsr(CORE_PERF_CTR + 2 * i), 1000 + i, "counter %d", i);
	}
	clear_counters();
}

static void run_loop(const struct counter *counter, u64 from, u64 bits)
{
	struct window window = window_on(counter, selection(counter, INSTRUCTIONS, bits),
					 code_loop, 100);

	set(counter, from);
	run(USER, &window);
}

static void test_status(void)
{
	u64 all = 0;

	if (!is_intel) {
		skip("of Intel only");
		return;
	}
	clear_counters();
	for (int i = 0; i < all_counters; i++) {
		if (!is_for_instructions(&counters[i]))
			continue;
		run_loop(&counters[i], -20ull, EVNTSEL_USR);
		all |= global_bit(&counters[i]);
		check_that(rdmsr(GLOBAL_STATUS), all, "after counter %s",
			   name_of(&counters[i]));
	}
	for (int i = 0; i < all_counters; i++) {
		wrmsr(GLOBAL_OVF_CTRL, global_bit(&counters[i]));
		all &= ~global_bit(&counters[i]);
		check_that(rdmsr(GLOBAL_STATUS), all, "counter %s cleared",
			   name_of(&counters[i]));
	}
	clear_counters();
}

/* The same code, counted where its global bit is set and not where it is clear. */
static void test_global_control(void)
{
	u64 all;

	if (!is_intel) {
		skip("of Intel only");
		return;
	}
	clear_counters();
	all = rdmsr(GLOBAL_CTRL);
	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		struct window window = window_on(counter, 0, code_loop, 100);

		if (!is_for_instructions(counter))
			continue;
		wrmsr(GLOBAL_CTRL, all & ~global_bit(counter));
		run_loop(counter, 0, BOTH);
		check_that(get(counter), 0, "counter %s, disabled", name_of(counter));
		wrmsr(counter->select, selection(counter, INSTRUCTIONS, BOTH));
		window.on_msr = window.off_msr = GLOBAL_CTRL;
		window.on = global_bit(counter);
		run(USER, &window);
		check_that(get(counter),
			   expected(find_code("loop"), 100, USER, INSTRUCTIONS, BOTH),
			   "counter %s, enabled by GLOBAL_CTRL", name_of(counter));
		wrmsr(counter->select, 0);
		wrmsr(GLOBAL_CTRL, all);
	}
	clear_counters();
}

static bool is_index(u32 index)
{
	for (int i = 0; i < all_counters; i++)
		if (counters[i].index == index)
			return true;
	return false;
}

static void check_index(u32 index)
{
	u64 got;

	check_that(read_pmc(index, &got), is_index(index) ? -1 : VECTOR_GP,
		   "rdpmc %x", index);
}

static void test_rdpmc(void)
{
	static const u32 high[] = { 0x10000, 0x80000000, 0xc0000000, 0xffffffff, 0x3fffffff };

	clear_counters();
	for (u32 index = 0; index < 70; index++) {
		check_index(index);
		check_index(RDPMC_FIXED | index);
		check_index(0x20000000 | index);	/* other types are of later versions */
	}
	for (u32 i = 0; i < ARRAY_SIZE(high); i++)
		check_index(high[i]);
	for (int i = 0; i < all_counters; i++)
		set(&counters[i], 100 * i + 7);
	for (int i = 0; i < all_counters; i++) {
		u64 got = 0;

		read_pmc(counters[i].index, &got);
		check_that(got, 100 * i + 7, "rdpmc, counter %s", name_of(&counters[i]));
	}
	clear_counters();
}

static void set_pce(bool on)
{
	u64 cr4;

	asm volatile("movq %%cr4, %0" : "=r"(cr4));
	cr4 = on ? cr4 | CR4_PCE : cr4 & ~CR4_PCE;
	asm volatile("movq %0, %%cr4" : : "r"(cr4));
}

static void test_rdpmc_user(void)
{
	struct cpu *cpu = this_cpu();
	u64 *values = (u64 *)cpu->area;

	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		struct window window = window_on(counter,
						 selection(counter, INSTRUCTIONS, EVNTSEL_USR),
						 code_read_pmc, counter->index);

		if (!is_for_instructions(counter))
			continue;
		clear_counters();
		run(USER, &window);
		check_that(values[0], 3, "call, mov, rdpmc, counter %s", name_of(counter));
		check_that(values[1], 3 + 5, "2 mov, 2 nop, rdpmc, counter %s",
			   name_of(counter));

		set_pce(false);
		cpu->fault = -1;
		cpu->resume = (u64)code_read_pmc_end;
		run(USER, &window);
		check_that(cpu->fault, VECTOR_GP, "without CR4.PCE, counter %s",
			   name_of(counter));
		cpu->resume = 0;
		set_pce(true);
	}
	clear_counters();
}

/* At the start, before anything was written: and after a reset that found them busy. */
void check_reset(void)
{
	for (int i = 0; i < all_counters; i++) {
		check_that(rdmsr(counters[i].select), 0, "select of counter %s",
			   name_of(&counters[i]));
		check_that(get(&counters[i]), 0, "counter %s", name_of(&counters[i]));
	}
	if (is_intel) {
		/* SDM: all general counters are enabled */
		check_that(rdmsr(GLOBAL_CTRL), BIT(general_counters) - 1, "GLOBAL_CTRL");
		check_that(rdmsr(GLOBAL_STATUS), 0, "GLOBAL_STATUS");
	}
	check_that(apic_read(APIC_LVTPC) & LVT_MASKED, LVT_MASKED, "LVTPC");
}

void dirty_for_reset(void)
{
	clear_counters();
	for (int i = 0; i < general_counters; i++)
		run_loop(&counters[i], -20ull, BOTH);
	for (int i = 0; i < general_counters; i++)
		wrmsr(counters[i].select, selection(&counters[i], INSTRUCTIONS, BOTH));
	if (is_intel) {
		wrmsr(FIXED_CTR_CTRL, 0x33);
		wrmsr(GLOBAL_CTRL, global_bit(&counters[general_counters]));
	}
}

const struct test register_tests[] = {
	{ "width", test_width },
	{ "wrap", test_wrap },
	{ "reserved-bits", test_reserved },
	{ "both-addresses", test_both_addresses },
	{ "global-status", test_status },
	{ "global-control", test_global_control },
	{ "rdpmc", test_rdpmc },
	{ "rdpmc-user", test_rdpmc_user },
};
const int number_of_register_tests = ARRAY_SIZE(register_tests);
