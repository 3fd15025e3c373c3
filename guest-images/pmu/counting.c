// SPDX-License-Identifier: GPL-2.0
/* Counts of more than one counter, of long loops, and under interrupts and traps. */
#include "tests.h"

#define BOTH	(EVNTSEL_USR | EVNTSEL_OS)
#define ON_TIMER ((struct tally){ .instructions = 3, .branches = 1 })

/* The event that each counter gets when all of them count: they take turns. */
static enum event turn(int number)
{
	const struct counter *counter = &counters[number];
	enum event event = number % 3;

	return counter->fixed ? counter->event : event;
}

/* All counters for user space, from here on. */
static void all_on(u64 bits)
{
	u64 fixed = 0;

	clear_counters();
	for (int i = 0; i < all_counters; i++) {
		u64 selected = selection(&counters[i], turn(i), bits);

		fixed |= counters[i].fixed ? selected : 0;
		wrmsr(counters[i].select, counters[i].fixed ? fixed : selected);
	}
}

static void check_all(const struct code *code, u64 number, const char *what)
{
	for (int i = 0; i < all_counters; i++) {
		u64 want = expected(code, number, USER, turn(i), EVNTSEL_USR);

		if (exactly(turn(i)))
			check_that(get(&counters[i]), want, "%s, counter %s, %s", what,
				   name_of(&counters[i]), event_names[turn(i)]);
	}
}

/* The window's own writes change nothing: counter 0 goes on as it is. */
static struct window plain_window(const struct code *code, u64 number)
{
	u64 selected = selection(&counters[0], turn(0), EVNTSEL_USR);
	struct window window = window_on(&counters[0], selected, code->entry, number);

	window.off = selected;
	return window;
}

static void test_all_at_once(void)
{
	const struct code *code = find_code("loop");
	static const u64 numbers[] = { 1, 5, 50, 500, 5000, 50000, 500000, 5000000 };

	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct window window = plain_window(code, numbers[i]);

		all_on(EVNTSEL_USR);
		run(USER, &window);
		check_all(code, numbers[i], "a long loop");
	}
}

static void check_long(const struct counter *counter, enum level level)
{
	const struct code *code = find_code("loop");
	u64 selected = selection(counter, INSTRUCTIONS, BOTH);
	struct window window = window_on(counter, selected, code->entry, 1000000);

	clear_counters();
	run(level, &window);
	check_that(get(counter), expected(code, 1000000, level, INSTRUCTIONS, BOTH),
		   "10^6 iterations in %s, counter %s", level_names[level],
		   name_of(counter));
}

static void test_each_long(void)
{
	for (int i = 0; i < all_counters; i++) {
		if (!is_for_instructions(&counters[i]))
			continue;
		check_long(&counters[i], KERNEL);
		check_long(&counters[i], USER);
	}
}

static void stop_timer(void)
{
	apic_write(APIC_TIMER, LVT_MASKED);
	apic_write(APIC_COUNT, 0);
}

/* Interrupts in a loop of user space: its own counts are what they are without. */
static void run_with_timer(u64 bits, enum event event, u32 period)
{
	const struct code *code = find_code("loop");
	const struct counter *counter = &counters[0];
	u64 number = 20000;
	struct window window = window_on(counter, selection(counter, event, bits),
					 code->entry, number);
	struct cpu *cpu = this_cpu();
	u64 want = expected(code, number, USER, event, bits), timers;

	clear_counters();
	window.flags |= EFLAGS_IF;
	cpu->timers = 0;
	apic_write(APIC_TIMER, VECTOR_TIMER | LVT_PERIODIC);
	apic_write(APIC_COUNT, period);
	run(USER, &window);
	timers = cpu->timers;
	stop_timer();
	asm volatile("sti; nop; cli");
	if (bits & EVNTSEL_OS)
		want += timers * (event == BRANCHES ? ON_TIMER.branches + !is_intel
						    : ON_TIMER.instructions);
	check_that(get(counter), want, "%s, %lu interrupts", event_names[event], timers);
	if (icount_shift >= 0)
		check_that(timers > 2, true, "%lu interrupts every %u ns", timers, period);
}

static void test_interrupts(void)
{
	static const u64 bits[] = { EVNTSEL_USR, EVNTSEL_OS, BOTH };

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		for (enum event event = 0; event < REFERENCE; event++) {
			run_with_timer(bits[i], event, 997);
			run_with_timer(bits[i], event, 5003);
		}
	}
}

/* Trapped after each instruction, which string instructions are in their middle. */
static void check_stepped(const struct code *code, u64 number, enum event event)
{
	u64 selected = selection(&counters[0], event, EVNTSEL_USR);
	struct window window = window_on(&counters[0], selected, code->entry, number);

	clear_counters();
	set_gate(VECTOR_DB, on_step);
	this_cpu()->steps = 0;
	window.flags |= EFLAGS_TF;
	run_user(&window);
	reset_gate(VECTOR_DB);
	check_that(get(&counters[0]), expected(code, number, USER, event, EVNTSEL_USR),
		   "%s, %s", code->name, event_names[event]);
}

static void test_single_step(void)
{
	for (int i = 0; i < number_of_codes; i++) {
		const struct code *code = &codes[i];

		if (!runs(code, USER) || code->exceptions || code->intel)
			continue;
		check_stepped(code, 3, INSTRUCTIONS);
		check_stepped(code, 3, BRANCHES);
	}
}

static void test_unsupported(void)
{
	static const u64 amd[] = {
		0xc3, 0x41, 0x1000000c0, 0xc0 | EVNTSEL_EDGE, 0xc0 | EVNTSEL_CMASK(1),
		0xc0 | EVNTSEL_INV, 0x76 | EVNTSEL_CMASK(0xff) | EVNTSEL_INV, 0,
	};
	static const u64 intel[] = {
		0x00c5, 0x4f2e, 0x412e, 0x01c0, 0xc0 | EVNTSEL_EDGE,
		0xc0 | EVNTSEL_CMASK(1), 0xc0 | EVNTSEL_INV, 0,
	};
	const u64 *events = is_intel ? intel : amd;

	for (int i = 0; i < (int)ARRAY_SIZE(amd); i++) {
		struct window window = window_on(&counters[1],
						 events[i] | EVNTSEL_EN | BOTH,
						 find_code("loop")->entry, 1000);

		clear_counters();
		run(USER, &window);
		run(KERNEL, &window);
		check_that(get(&counters[1]), 0, "select %lx", events[i]);
	}
}

static void test_no_reference(void)
{
	struct window window;

	if (!is_intel || icount_shift >= 0) {
		skip(is_intel ? "there are reference cycles" : "of Intel only");
		return;
	}
	check_that(fixed_counters, 2, "fixed counters");
	clear_counters();
	window = window_on(&counters[0], 0x013c | EVNTSEL_EN | BOTH,
			   find_code("loop")->entry, 1000);
	run(USER, &window);
	check_that(get(&counters[0]), 0, "reference cycles");
}

static void test_rewrite(void)
{
	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		struct window window;

		if (!is_for_instructions(counter))
			continue;
		clear_counters();
		window = window_on(counter, selection(counter, INSTRUCTIONS, BOTH),
				   code_rewrite, counter->value);
		window.arg2 = 1000;
		run(KERNEL, &window);
		/* jmp, nop, ret; 3 mov, wrmsr */
		check_that(get(counter), 1000 + 3 + 4, "counter %s", name_of(counter));
	}
}

static void test_change_event(void)
{
	for (int i = 0; i < general_counters; i++) {
		const struct counter *counter = &counters[i];
		struct window window;

		clear_counters();
		window = window_on(counter, selection(counter, INSTRUCTIONS, BOTH),
				   code_rewrite, counter->select);
		window.arg2 = selection(counter, BRANCHES, BOTH);
		run(KERNEL, &window);
		/* Instructions: call, 3 nop, 2 mov, xor, wrmsr; branches: jmp, ret */
		check_that(get(counter), 8 + 2, "counter %s", name_of(counter));
	}
}

static void test_off_and_on(void)
{
	for (int i = 0; i < all_counters; i++) {
		const struct counter *counter = &counters[i];
		struct window window;

		if (!is_for_instructions(counter))
			continue;
		clear_counters();
		window = window_on(counter, selection(counter, INSTRUCTIONS, BOTH),
				   code_off_and_on, counter->select);
		window.arg2 = window.on;
		run(KERNEL, &window);
		/* call, nop, mov, 2 xor, wrmsr; 2 nop, ret, 3 mov, wrmsr */
		check_that(get(counter), 6 + 7, "counter %s", name_of(counter));
	}
}

/*
 * Accesses, while another counter, for branches, which there are few of, makes QEMU
 * look again and again whether it has overflowed: no one counts twice.
 */
static void test_timers(void)
{
	const struct code reads = { "many_reads", code_many_reads, { 2002, 1 } };
	u64 want = expected(&reads, 0, USER, INSTRUCTIONS, BOTH);

	for (int i = 0; i < 100; i++) {
		struct window window = window_on(&counters[0],
						 selection(&counters[0], INSTRUCTIONS, BOTH),
						 reads.entry, counters[0].index);

		clear_counters();
		set(&counters[1], -1000ull);
		wrmsr(counters[1].select,
		      selection(&counters[1], BRANCHES, BOTH | EVNTSEL_INT));
		run(USER, &window);
		check_that(get(&counters[0]), want, "run %d", i);
	}
	clear_counters();
}

static u64 clocks[4];

static void read_clocks(void)
{
	struct window window = window_on(&counters[0], 0, code_clocks, 3);

	window.on_msr = window.off_msr = counters[0].select;
	window.arg2 = (u64)clocks;
	run(KERNEL, &window);
}

/* The node's clock is that of the machine: at every level, in hlt, and as the TSC. */
static void test_node_clock(void)
{
	struct window halt = window_on(&counters[0], 0, code_halt, 0);
	u64 clock, tsc;

	if (is_intel) {
		skip("of AMD only");
		return;
	}
	clear_counters();
	wrmsr(counters[3].select, event_code(CLOCK) | EVNTSEL_EN);
	read_clocks();
	clock = clocks[0];
	tsc = clocks[1];
	apic_write(APIC_TIMER, VECTOR_TIMER);
	apic_write(APIC_COUNT, 300000);
	run(KERNEL, &halt);
	read_clocks();
	clock = clocks[0] - clock;
	tsc = clocks[1] - tsc;
	check_that(clock >= 300000, true, "%lu ns in hlt", clock);
	if (icount_shift >= 0) {
		check_that(clock < 320000, true, "%lu ns in hlt", clock);
		check_that(tsc, clock, "TSC against the node's clock");
	}
	clear_counters();
}

static void test_halt(void)
{
	struct window window = window_on(&counters[0],
					 selection(&counters[0], CYCLES, BOTH),
					 code_halt, 0);

	clear_counters();
	apic_write(APIC_TIMER, VECTOR_TIMER);
	apic_write(APIC_COUNT, 3000000);
	run(KERNEL, &window);
	check_that(get(&counters[0]), expected(find_code("halt"), 0, KERNEL, CYCLES, BOTH),
		   "cycles, 3 ms halted");
}

/* APM volume 2, appendix B: the fields of a VMCB that a guest needs. */
#define VMCB_VMRUN_VMMCALL	0x010		/* intercepts */
#define VMCB_ASID		0x058
#define VMCB_ES			0x400
#define VMCB_CS			0x410
#define VMCB_SS			0x420
#define VMCB_DS			0x430
#define VMCB_EVENTINJ		0xa8
#define VMCB_GDTR		0x460
#define VMCB_IDTR		0x480
#define VMCB_EFER		0x4d0
#define VMCB_CR4		0x548
#define VMCB_CR3		0x550
#define VMCB_CR0		0x558
#define VMCB_RFLAGS		0x570
#define VMCB_RIP		0x578
#define VMCB_RSP		0x5d8
#define MSR_EFER		0xc0000080
#define EFER_SVME		BIT(12)
#define EVENTINJ_VALID		BIT(31)
#define MSR_VM_HSAVE_PA		0xc0010117
#define CODE_64			(0xa9bull << 16)	/* a segment's attributes */
#define DATA			(0xc93ull << 16)
#define NO_LIMIT		(0xffffffffull << 32)

static u64 vmcb[512] __attribute__((aligned(4096)));
static u64 host_save[512] __attribute__((aligned(4096)));

#define FIELD(offset)		vmcb[(offset) / 8]
#define REGISTER(name, to)	asm volatile("movq %%" #name ", %0" : "=r"(to))

/* A guest in the kernel's own address space: code_guest, which ends by VMMCALL. */
static void make_guest(void)
{
	u64 descriptor[4] = { 0 };

	FIELD(VMCB_VMRUN_VMMCALL) = BIT(0) | BIT(1);
	FIELD(VMCB_ASID) = 1;
	FIELD(VMCB_CS) = KERNEL_CS | CODE_64 | NO_LIMIT;
	FIELD(VMCB_ES) = FIELD(VMCB_SS) = FIELD(VMCB_DS) = KERNEL_SS | DATA | NO_LIMIT;
	asm volatile("sgdt 6(%0)" : : "r"(descriptor) : "memory");
	FIELD(VMCB_GDTR) = NO_LIMIT;
	FIELD(VMCB_GDTR + 8) = descriptor[1];
	asm volatile("sidt 6(%0)" : : "r"(descriptor) : "memory");
	FIELD(VMCB_IDTR) = NO_LIMIT;
	FIELD(VMCB_IDTR + 8) = descriptor[1];
	REGISTER(cr0, FIELD(VMCB_CR0));
	REGISTER(cr3, FIELD(VMCB_CR3));
	REGISTER(cr4, FIELD(VMCB_CR4));
	FIELD(VMCB_EFER) = rdmsr(MSR_EFER);
	FIELD(VMCB_RFLAGS) = EFLAGS;
	FIELD(VMCB_RIP) = (u64)code_guest;
	FIELD(VMCB_RSP) = (u64)(this_cpu()->user_stack + STACK);
}

static u64 run_guest(enum event event, u64 bits)
{
	struct window window = window_on(&counters[0],
					 selection(&counters[0], event, BOTH) | bits,
					 code_host, 0);

	window.arg2 = (u64)vmcb;
	run(KERNEL, &window);
	return get(&counters[0]);
}

static u64 count_world(enum event event, u64 bits)
{
	clear_counters();
	make_guest();
	return run_guest(event, bits);
}

/* True if this CPU can have guests, now. */
static bool enable_guests(void)
{
	u32 r[4];

	cpuid(0x80000001, r);
	if (is_intel || !(r[2] & BIT(2)))
		return false;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (u64)host_save);
	return true;
}

static void disable_guests(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	clear_counters();
}

/*
 * A virtual machine: VMRUN is the host's, and VMMCALL, which is intercepted, does
 * not retire.
 */
static void test_worlds(void)
{
	u64 host[] = { 6 + 5, 6 + 5, 1 + 1 }, guest[] = { 101, 101, 1 };

	if (!enable_guests()) {
		skip("of AMD only");
		return;
	}
	for (enum event event = 0; event <= BRANCHES; event++) {
		const char *name = event_names[event];

		check_that(count_world(event, EVNTSEL_HOST), host[event], "host, %s", name);
		check_that(count_world(event, EVNTSEL_GUEST), guest[event], "guest, %s",
			   name);
		check_that(count_world(event, 0), host[event] + guest[event], "neither, %s",
			   name);
		check_that(count_world(event, EVNTSEL_HOST | EVNTSEL_GUEST),
			   host[event] + guest[event], "both, %s", name);
	}
	disable_guests();
}

/*
 * VMRUN with an interrupt for the guest, whose handler is one IRETQ, while another
 * counter makes QEMU leave its loop after each number of instructions: it comes once.
 */
static void test_injected(void)
{
	if (!enable_guests()) {
		skip("of AMD only");
		return;
	}
	for (u64 distance = 1; distance <= 300; distance++) {
		clear_counters();
		make_guest();
		FIELD(VMCB_EVENTINJ) = VECTOR_NOT | EVENTINJ_VALID;
		set(&counters[1], -distance);
		wrmsr(counters[1].select,
		      selection(&counters[1], INSTRUCTIONS, BOTH | EVNTSEL_INT));
		check_that(run_guest(INSTRUCTIONS, EVNTSEL_GUEST), 101 + 1,
			   "left after %lu", distance);
	}
	disable_guests();
}

const struct test count_tests[] = {
	{ "all-at-once", test_all_at_once },
	{ "each-long", test_each_long },
	{ "interrupts", test_interrupts },
	{ "single-step", test_single_step },
	{ "unsupported-events", test_unsupported },
	{ "no-reference-cycles", test_no_reference },
	{ "rewrite-running", test_rewrite },
	{ "change-event-running", test_change_event },
	{ "off-and-on", test_off_and_on },
	{ "timers", test_timers },
	{ "node-clock", test_node_clock },
	{ "no-cycles-in-halt", test_halt },
	{ "worlds", test_worlds },
	{ "injected", test_injected },
};
const int number_of_count_tests = ARRAY_SIZE(count_tests);
