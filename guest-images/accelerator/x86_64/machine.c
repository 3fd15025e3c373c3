// SPDX-License-Identifier: GPL-2.0
/*
 * A PC: COM1, the local APIC, and the first general counters, which count retired
 * instructions.  An overflow is an NMI, as Linux wants it.
 */
#include "../probe.h"

/* SDM volume 3, "Architectural Performance Monitoring" */
#define P6_PERFCTR		0x0c1
#define P6_EVNTSEL		0x186
#define GLOBAL_CTRL		0x38f
#define GLOBAL_OVF_CTRL		0x390
/* APM volume 2, "Performance Monitoring Counters", "Core Performance Event-Select" */
#define K7_EVNTSEL		0xc0010000
#define K7_PERFCTR		0xc0010004
#define CORE_PERF_CTL		0xc0010200
#define CORE_PERF_CTR		0xc0010201
#define AMD_GLOBAL_CTL		0xc0000301
#define AMD_GLOBAL_STATUS_CLR	0xc0000302

#define EVENT_INSTRUCTIONS	0xc0	/* of both makers */
#define EVNTSEL_USR		BIT(16)
#define EVNTSEL_OS		BIT(17)
#define EVNTSEL_INT		BIT(20)
#define EVNTSEL_EN		BIT(22)
#define WIDTH			48
#define SIGN			BIT(WIDTH - 1)

#define APIC			0xfee00000
#define APIC_SVR		0x0f0
#define APIC_LVTPC		0x340
#define SVR_ENABLED		0x1ff
#define LVT_NMI			0x400

#define COM1			0x3f8
#define COM1_STATUS		(COM1 + 5)
#define STATUS_EMPTY		0x20
#define RESET			0xcf9
#define RESET_NOW		0x06	/* -no-reboot makes an end of it */

#define VECTOR_NMI		2
#define KERNEL_CS		0x08
#define INTERRUPT_GATE		0x8e00

struct gate {
	u16 offset0, selector, type, offset1;
};

struct registers {
	u32 a, b, c, d;
};

static struct gate idt[32];
static u32 select, value;		/* MSRs of the first counter */
static u32 stride = 1;			/* from one counter's to the next one's */
static int started;			/* counters that count, or did when they were stopped */
static u32 global_control, global_clear;	/* MSRs, 0 where there are none */

extern const char exceptions[], on_nmi[];
void note_overflow(void);

static struct registers cpuid(u32 leaf)
{
	struct registers r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "a"(leaf), "c"(0));
	return r;
}

static u64 rdmsr(u32 msr)
{
	u64 got;

	asm volatile("rdmsr" : "=A"(got) : "c"(msr) : "memory");
	return got;
}

static void wrmsr(u32 msr, u64 what)
{
	asm volatile("wrmsr" : : "c"(msr), "A"(what) : "memory");
}

static void out8(u16 port, u8 what)
{
	asm volatile("outb %0, %1" : : "a"(what), "Nd"(port));
}

static u8 in8(u16 port)
{
	u8 got;

	asm volatile("inb %1, %0" : "=a"(got) : "Nd"(port));
	return got;
}

static void apic_write(u32 reg, u32 what)
{
	*(volatile u32 *)(uintptr_t)(APIC + reg) = what;
}

void spin(u32 iterations)
{
	asm volatile("1: decl %0\n\tjnz 1b" : "+r"(iterations) : : "cc");
}

void put(char c)
{
	while (!(in8(COM1_STATUS) & STATUS_EMPTY))
		;
	out8(COM1, c);
}

void leave(void)
{
	out8(RESET, RESET_NOW);
	for (;;)
		asm volatile("cli; hlt");
}

static void set_gate(int vector, const char *handler)
{
	u32 address = (u32)handler;

	idt[vector] = (struct gate){ address, KERNEL_CS, INTERRUPT_GATE, address >> 16 };
}

void start_machine(void)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) pointer = {
		sizeof(idt) - 1, (u32)idt
	};

	for (int vector = 0; vector < 32; vector++)
		set_gate(vector, exceptions + 16 * vector);
	set_gate(VECTOR_NMI, on_nmi);
	asm volatile("lidt %0" : : "m"(pointer));
	apic_write(APIC_SVR, SVR_ENABLED);
	apic_write(APIC_LVTPC, LVT_NMI);
}

/* SDM: CPUID leaf 10 has a version, not 0, of what is there. */
static bool find_architectural(void)
{
	struct registers r = cpuid(0);

	if (r.a < 10)
		return false;
	r = cpuid(10);
	if (!(r.a & 0xff) || !(r.a >> 8 & 0xff))
		return false;
	select = P6_EVNTSEL;
	value = P6_PERFCTR;
	if ((r.a & 0xff) >= 2) {
		global_control = GLOBAL_CTRL;
		global_clear = GLOBAL_OVF_CTRL;
	}
	say("pmu architectural, version ");
	say_number(r.a & 0xff);
	say(", general counters ");
	say_number(r.a >> 8 & 0xff);
	say("\n");
	return true;
}

/* APM: every AMD64 CPU has the K7's four counters, and no bit of CPUID says so. */
static bool find_amd(void)
{
	bool has_core = cpuid(0x80000001).c & BIT(23);		/* PerfCtrExtCore */
	u32 leaves = cpuid(0x80000000).a;

	select = has_core ? CORE_PERF_CTL : K7_EVNTSEL;
	value = has_core ? CORE_PERF_CTR : K7_PERFCTR;
	stride = has_core ? 2 : 1;
	if (leaves >= 0x80000022 && cpuid(0x80000022).a & 1) {	/* PerfMonV2 */
		global_control = AMD_GLOBAL_CTL;
		global_clear = AMD_GLOBAL_STATUS_CLR;
	}
	say(global_control ? "pmu AMD PerfMonV2\n" :
	    has_core ? "pmu AMD PerfCtrExtCore\n" : "pmu AMD K7, which CPUID does not tell of\n");
	return true;
}

bool find_pmu(void)
{
	u32 maker = cpuid(0).b;

	if (find_architectural())
		return true;
	if (maker == 0x68747541 || maker == 0x6f677948)		/* "Auth", "Hygo" */
		return find_amd();
	say("pmu none: CPUID leaf 10 says version 0\n");
	return false;
}

static u32 select_of(int n)
{
	return select + n * stride;
}

static u32 value_of(int n)
{
	return value + n * stride;
}

void set_counter(int n, u64 from)
{
	wrmsr(value_of(n), from & (BIT(WIDTH) - 1));
}

void start_counters(int number)
{
	started = number;
	if (global_control) {
		wrmsr(global_clear, BIT(number) - 1);
		wrmsr(global_control, BIT(number) - 1);
	}
	for (int n = 0; n < number; n++)
		wrmsr(select_of(n), EVENT_INSTRUCTIONS | EVNTSEL_USR | EVNTSEL_OS | EVNTSEL_INT |
		      EVNTSEL_EN);
}

void stop_counters(int number)
{
	for (int n = 0; n < number; n++)
		wrmsr(select_of(n), 0);
}

u64 read_counter(int n)
{
	return rdmsr(value_of(n));
}

/*
 * An NMI says not whose it is: a counter that was set to -n has wrapped.  Intel's
 * APIC masks the entry with each of them.
 */
void note_overflow(void)
{
	for (int n = 0; n < started; n++)
		if (!(rdmsr(value_of(n)) & SIGN))
			overflowed(n);
	apic_write(APIC_LVTPC, LVT_NMI);
}
