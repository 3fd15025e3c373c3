// SPDX-License-Identifier: GPL-2.0
/* How often what happens in each code of codes.S, and whether counters see it. */
#include "counts.h"

#define CODES(code) \
	code(nops) code(loop) code(loop_instruction) code(conditional) code(jumps) \
	code(counter_jumps) code(far) code(interrupt) code(system_call) \
	code(fast_system_call) code(rep_stos) code(rep_movs) code(rep_compare) \
	code(undefined) code(protection) code(divide) code(page) code(page_rep) \
	code(page_call) code(page_return) code(page_jump) code(page_fetch) \
	code(int_protection) code(far_protection) code(iret_protection) \
	code(self_modifying) code(mmio) code(ports) code(helpers) code(atomic) \
	code(watchpoint) code(breakpoint) code(stack_segment) code(no_device) \
	code(compatibility) code(enable_interrupts) code(halt) code(two_pages)
#define DECLARE(name)	extern const char code_##name[];
CODES(DECLARE)
extern const char code_page_return_target[], code_page_jump_target[];
extern const char code_page_fetch_copy[];
extern const char code_breakpoint_here[];

#define CR0_TS		BIT(3)
#define DR7_WRITE_8	0x00090302	/* DR0: on writes of 8 bytes; global */
#define DR7_EXECUTE	0x00000302

static void debug_at(const void *address, u64 control)
{
	asm volatile("movq %0, %%dr0" : : "r"(address));
	asm volatile("movq %0, %%dr7" : : "r"(control));
}

static void no_debug(void)
{
	debug_at(NULL, 0x400);
	reset_gate(VECTOR_DB);
}

static void prepare_undefined(void)
{
	set_gate(VECTOR_UD, on_skip2);
}

static void prepare_protection(void)
{
	set_gate(VECTOR_GP, on_skip2_error);
}

static void prepare_divide(void)
{
	set_gate(VECTOR_DE, on_skip2);
}

static void prepare_page(void)
{
	set_gate(VECTOR_PF, on_page);
	page_present(false);
}

static void prepare_page_jump(void)
{
	*(const void **)(this_cpu()->area + 4096) = code_page_jump_target;
	prepare_page();
}

static void prepare_page_return(void)
{
	*(const void **)(this_cpu()->area + 4096) = code_page_return_target;
	prepare_page();
}

static void prepare_page_fetch(void)
{
	for (int i = 0; i < 6; i++)
		this_cpu()->area[4096 - 2 + i] = code_page_fetch_copy[i];
	prepare_page();
}

/* CR0.TS: the next instruction of the FPU raises #NM. */
static void prepare_device(void)
{
	u64 cr0;

	set_gate(VECTOR_NM, on_device);
	asm volatile("movq %%cr0, %0" : "=r"(cr0));
	asm volatile("movq %0, %%cr0" : : "r"(cr0 | CR0_TS));
}

static void prepare_watchpoint(void)
{
	set_gate(VECTOR_DB, on_int);
	debug_at(this_cpu()->area + 64, DR7_WRITE_8);
}

static void prepare_breakpoint(void)
{
	set_gate(VECTOR_DB, on_breakpoint);
	debug_at(code_breakpoint_here, DR7_EXECUTE);
}

static void prepare_halt(void)
{
	apic_write(APIC_TIMER, VECTOR_TIMER);
	apic_write(APIC_COUNT, 20000);
}

static void finish(void)
{
	reset_gate(VECTOR_UD);
	reset_gate(VECTOR_GP);
	reset_gate(VECTOR_DE);
	reset_gate(VECTOR_PF);
	reset_gate(VECTOR_NM);
	page_present(true);
}

#define CODE(name)	#name, code_##name
#define SKIPS		.handlers = { 2, 1 }, .exceptions = 1
#define SKIPS_ERROR	.handlers = { 3, 1 }, .exceptions = 1, \
			.prepare = prepare_protection, .finish = finish
#define PAGES(how)	.handlers = { 6, 1 }, .exceptions = 1, \
			.prepare = how, .finish = finish

const struct code codes[] = {
	{ CODE(nops), { 11, 1 } },
	{ CODE(loop), { 2, 1 }, { 2, 1 } },
	{ CODE(loop_instruction), { 2, 1 }, { 1, 1 } },
	{ CODE(conditional), { 9, 7 } },
	{ CODE(jumps), { 19, 13 } },
	{ CODE(counter_jumps), { 14, 9 } },
	{ CODE(far), { 23, 6 } },
	{ CODE(interrupt), { 3, 3 }, .handlers = { 2, 2 } },
	{ CODE(system_call), { 5, 3 }, .handlers = { 6, 4 }, .no_kernel = true },
	{ CODE(fast_system_call), { 4, 2 }, .handlers = { 1, 1 }, .no_kernel = true,
	  .intel = true },
	/* Each iteration is a cycle with -icount, and so is finding that it was the last. */
	{ CODE(rep_stos), { 4, 1 }, { .cycles = 1 } },
	{ CODE(rep_movs), { 4, 1 }, { .cycles = 1 } },
	{ CODE(rep_compare), { 11, 1 }, { .cycles = 1 } },
	{ CODE(undefined), { 3, 1, 1 }, SKIPS, .prepare = prepare_undefined,
	  .finish = finish },
	{ CODE(protection), { 4, 1 }, SKIPS_ERROR },
	{ CODE(divide), { 2, 1 }, SKIPS, .prepare = prepare_divide, .finish = finish },
	{ CODE(page), { 4, 1 }, PAGES(prepare_page) },
	{ CODE(page_rep), { 4, 1, 64 }, PAGES(prepare_page) },
	{ CODE(page_call), { 6, 3 }, PAGES(prepare_page), .no_kernel = true },
	{ CODE(page_return), { 5, 2 }, PAGES(prepare_page_return), .no_kernel = true },
	{ CODE(page_jump), { 2, 2 }, PAGES(prepare_page_jump) },
	{ CODE(page_fetch), { 4, 2 }, PAGES(prepare_page_fetch) },
	{ CODE(int_protection), { 3, 1, 1 }, SKIPS_ERROR, .no_kernel = true },
	{ CODE(far_protection), { 3, 1 }, SKIPS_ERROR },
	{ CODE(iret_protection), { 9, 1 }, SKIPS_ERROR },
	{ CODE(self_modifying), { 2, 1 }, { 5, 1 } },
	{ CODE(mmio), { 8, 1 } },
	{ CODE(ports), { 5, 1 }, .no_user = true },
	{ CODE(helpers), { 8, 1 } },
	{ CODE(atomic), { 2, 1 }, { 4, 1 } },
	{ CODE(watchpoint), { 6, 1 }, .handlers = { 3, 3 }, .exceptions = 3,
	  .prepare = prepare_watchpoint, .finish = no_debug },
	{ CODE(breakpoint), { 4, 1 }, .handlers = { 2, 1 }, .exceptions = 1,
	  .prepare = prepare_breakpoint, .finish = no_debug },
	{ CODE(stack_segment), { 5, 1 } },
	{ CODE(no_device), { 4, 1, 1 }, .handlers = { 2, 1 }, .exceptions = 1,
	  .prepare = prepare_device, .finish = finish },
	{ CODE(compatibility), { 26, 8 }, .handlers = { 1, 1 } },
	{ CODE(enable_interrupts), { 4, 1 }, .no_user = true },
	{ CODE(halt), { 4, 1 }, .handlers = { 3, 1 }, .exceptions = 1,
	  .no_user = true, .prepare = prepare_halt },
	{ CODE(two_pages), { 2, 1 }, { 3, 1 } },
};
const int number_of_codes = ARRAY_SIZE(codes);

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct code *find_code(const char *name)
{
	for (int i = 0; i < number_of_codes; i++)
		if (same(codes[i].name, name))
			return &codes[i];
	fail("no code %s", name);
	return &codes[0];
}

static void add(struct tally *to, struct tally more, u64 times)
{
	to->instructions += more.instructions * times;
	to->branches += more.branches * times;
	to->cycles += more.cycles * times;
}

/*
 * AMD counts exceptions and interrupts as branches (PPR, PMCx0C2), here at the level
 * that they lead to.
 */
struct tally tally_at(const struct code *code, u64 number, enum level ran,
		      enum level counted)
{
	struct tally tally = { 0 };

	if (ran == counted) {
		add(&tally, code->once, 1);
		add(&tally, code->each, number);
		add(&tally, ran == USER ? AT_USER : AT_KERNEL, 1);
	}
	if (counted == KERNEL) {
		add(&tally, code->handlers, 1);
		tally.branches += is_intel ? 0 : code->exceptions;
		if (ran == USER)
			add(&tally, AROUND_USER, 1);
	}
	return tally;
}

u64 expected(const struct code *code, u64 number, enum level ran, enum event event,
	     u64 bits)
{
	struct tally kernel = tally_at(code, number, ran, KERNEL);
	struct tally user = tally_at(code, number, ran, USER);
	struct tally sum = { 0 };

	add(&sum, kernel, bits & EVNTSEL_OS ? 1 : 0);
	add(&sum, user, bits & EVNTSEL_USR ? 1 : 0);
	switch (event) {
	case INSTRUCTIONS:
		return sum.instructions;
	case CYCLES:
		return sum.instructions + sum.cycles;
	case REFERENCE:
		return (sum.instructions + sum.cycles) << icount_shift;
	case BRANCHES:
		return sum.branches;
	default:
		return 0;
	}
}

/* Without -icount a string instruction takes what time it takes. */
bool exactly(enum event event)
{
	return event == INSTRUCTIONS || event == BRANCHES || icount_shift >= 0;
}

/* Run a code with one counter on; what did it count? */
static u64 measure(const struct code *code, u64 number, enum level level,
		   const struct counter *counter, u64 selected)
{
	struct window window = window_on(counter, selected, code->entry, number);

	set(counter, 0);
	if (code->prepare)
		code->prepare();
	run(level, &window);
	if (code->finish)
		code->finish();
	return get(counter);
}

static const u64 modes[] = { 0, EVNTSEL_USR, EVNTSEL_OS, EVNTSEL_USR | EVNTSEL_OS };
static const char *const mode_names[] = { "neither", "usr", "os", "both" };
const char *const event_names[] = {
	"instructions", "cycles", "branches", "reference", "clock"
};
const char *const level_names[] = { "kernel", "user" };

static void check_counter(const struct code *code, u64 number, enum level level,
			  const struct counter *counter, enum event event)
{
	for (u32 mode = 0; mode < ARRAY_SIZE(modes); mode++) {
		u64 want = expected(code, number, level, event, modes[mode]);
		u64 got = measure(code, number, level, counter,
				  selection(counter, event, modes[mode]));

		if (!exactly(event) && got <= want &&
		    got >= expected(code, number, level, INSTRUCTIONS, modes[mode]))
			continue;
		check_that(got, want, "%s %lu in %s, counter %s, %s of %s", code->name,
			   number, level_names[level], name_of(counter),
			   event_names[event], mode_names[mode]);
	}
}

bool runs(const struct code *code, enum level level)
{
	return !(level == USER ? code->no_user : code->no_kernel) &&
	       (is_intel || !code->intel);
}

void check_code(const struct code *code, u64 number)
{
	for (enum level level = KERNEL; level < LEVELS; level++) {
		if (!runs(code, level))
			continue;
		for (int i = 0; i < all_counters; i++)
			for (enum event event = 0; event < CLOCK; event++)
				if (counts(&counters[i], event))
					check_counter(code, number, level,
						      &counters[i], event);
	}
}
