// SPDX-License-Identifier: GPL-2.0
/* The counters of the CPU's vendor, all alike. */
#include "pmu.h"

bool is_intel, has_core;
struct counter counters[MAX_COUNTERS];
int general_counters, fixed_counters, all_counters;

static void find_amd(void)
{
	u32 r[4];

	cpuid(0x80000001, r);
	has_core = r[2] & BIT(23);		/* PerfCtrExtCore */
	general_counters = has_core ? 6 : 4;
	for (int i = 0; i < general_counters; i++) {
		counters[i] = (struct counter){
			.select = has_core ? CORE_PERF_CTL + 2 * i : K7_EVNTSEL + i,
			.value = has_core ? CORE_PERF_CTR + 2 * i : K7_PERFCTR + i,
			.index = i,
			.number = i,
		};
	}
}

static void find_intel(void)
{
	u32 r[4];

	cpuid(0xa, r);
	general_counters = r[0] >> 8 & 0xff;
	fixed_counters = r[3] & 0x1f;
	for (int i = 0; i < general_counters; i++) {
		counters[i] = (struct counter){
			.select = P6_EVNTSEL + i,
			.value = P6_PERFCTR + i,
			.index = i,
			.number = i,
		};
	}
	for (int i = 0; i < fixed_counters; i++) {
		counters[general_counters + i] = (struct counter){
			.select = FIXED_CTR_CTRL,
			.value = FIXED_CTR + i,
			.index = RDPMC_FIXED | i,
			.number = i,
			.fixed = true,
			.event = i == 0 ? INSTRUCTIONS : i == 1 ? CYCLES : REFERENCE,
		};
	}
}

void find_counters(void)
{
	u32 r[4];

	cpuid(0, r);
	is_intel = r[1] == 0x756e6547;		/* "Genu" */
	if (is_intel)
		find_intel();
	else
		find_amd();
	all_counters = general_counters + fixed_counters;
}

u64 global_bit(const struct counter *counter)
{
	return BIT(counter->number + (counter->fixed ? GLOBAL_FIXED : 0));
}

/* All stopped, at 0, with nothing overflowed; on Intel all enabled globally. */
void clear_counters(void)
{
	u64 all = 0;

	for (int i = 0; i < all_counters; i++) {
		wrmsr(counters[i].select, 0);
		wrmsr(counters[i].value, 0);
		all |= global_bit(&counters[i]);
	}
	if (is_intel) {
		wrmsr(GLOBAL_OVF_CTRL, all);
		wrmsr(GLOBAL_CTRL, all);
	}
}

u64 event_code(enum event event)
{
	static const u32 amd[] = { 0xc0, 0x76, 0xc2, 0, 0xef };
	static const u32 intel[] = { 0x00c0, 0x003c, 0x00c4, 0x013c, 0 };

	return is_intel ? intel[event] : amd[event];
}

/* Can a counter count an event on this machine? */
bool counts(const struct counter *counter, enum event event)
{
	if (counter->fixed)
		return counter->event == event;
	if (event == REFERENCE)
		return is_intel && icount_shift >= 0;
	return event != CLOCK || !is_intel;
}

/* What the counter's select register takes to count; bits are EVNTSEL's. */
u64 selection(const struct counter *counter, enum event event, u64 bits)
{
	u64 field = 0;

	if (!counter->fixed)
		return event_code(event) | EVNTSEL_EN | bits;
	field |= bits & EVNTSEL_OS ? 1 : 0;
	field |= bits & EVNTSEL_USR ? 2 : 0;
	field |= bits & EVNTSEL_INT ? 8 : 0;
	return field << (4 * counter->number);
}

u64 get(const struct counter *counter)
{
	return rdmsr(counter->value);
}

/* Any value: SDM, "IA32_PMCx", has bit 31 extended when general ones are written. */
void set(const struct counter *counter, u64 value)
{
	wrmsr(counter->value, value);
}

struct window window_on(const struct counter *counter, u64 selected,
			const void *code, u64 arg)
{
	return (struct window){
		.on_msr = counter->select,
		.off_msr = counter->select,
		.on = selected,
		.code = code,
		.arg = arg,
		.arg2 = (u64)this_cpu()->area,
		.flags = EFLAGS,
		.stack = this_cpu()->user_stack + STACK,
	};
}

void run(enum level level, struct window *window)
{
	if (level == USER)
		run_user(window);
	else
		run_kernel(window);
}

const char *name_of(const struct counter *counter)
{
	static const char *const general[] = { "0", "1", "2", "3", "4", "5" };
	static const char *const fixed[] = { "fixed 0", "fixed 1", "fixed 2" };

	return counter->fixed ? fixed[counter->number] : general[counter->number];
}
