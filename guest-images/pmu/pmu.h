/* SPDX-License-Identifier: GPL-2.0 */
/* The machine, the counters, and how a test says what it saw. */
#ifndef PMU_H
#define PMU_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define BIT(n)			(1ull << (n))

/* APM volume 2, "Core Performance Event-Select Registers" */
#define K7_EVNTSEL		0xc0010000
#define K7_PERFCTR		0xc0010004
#define CORE_PERF_CTL		0xc0010200
#define CORE_PERF_CTR		0xc0010201
/* SDM volume 3, "Architectural Performance Monitoring" */
#define P6_PERFCTR		0x0c1
#define P6_EVNTSEL		0x186
#define FIXED_CTR		0x309
#define FIXED_CTR_CTRL		0x38d
#define GLOBAL_STATUS		0x38e
#define GLOBAL_CTRL		0x38f
#define GLOBAL_OVF_CTRL		0x390

#define EVNTSEL_USR		BIT(16)
#define EVNTSEL_OS		BIT(17)
#define EVNTSEL_EDGE		BIT(18)
#define EVNTSEL_PIN		BIT(19)
#define EVNTSEL_INT		BIT(20)
#define EVNTSEL_ANY		BIT(21)
#define EVNTSEL_EN		BIT(22)
#define EVNTSEL_INV		BIT(23)
#define EVNTSEL_CMASK(n)	((u64)(n) << 24)
#define EVNTSEL_GUEST		BIT(40)
#define EVNTSEL_HOST		BIT(41)

#define RDPMC_FIXED		BIT(30)
#define GLOBAL_FIXED		32
#define WIDTH			48
#define MASK			(BIT(WIDTH) - 1)

#define EFLAGS			0x2
#define EFLAGS_TF		BIT(8)
#define EFLAGS_IF		BIT(9)

#define LVT_NMI			0x400
#define LVT_MASKED		BIT(16)
#define LVT_PERIODIC		BIT(17)

#define MAX_COUNTERS		7
#define MESSAGES		6
#define MESSAGE			160

enum level { KERNEL, USER, LEVELS };
enum event { INSTRUCTIONS, CYCLES, BRANCHES, REFERENCE, CLOCK, EVENTS };

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u8 reserved2[10];
	u16 io_map;
} __attribute__((packed));

struct gate {
	u16 offset0, selector, type, offset1;
	u32 offset2, reserved;
};

struct cpu {
	struct cpu *self;
	u64 rsp, resume, fault, timers, pmis, pmi_index, pmi_msr, pmi_value;
	u64 pmi_lvtpc, steps;
	u64 *page;
	u64 reserved[4];
	u64 pmi_rip[PMI_MAX];
	u64 pmi_count[PMI_MAX];
	u64 step_rip[STEP_MAX];

	u32 id;
	char *area;			/* three pages */
	bool (*volatile job)(void);
	volatile bool up;
	volatile u32 inits;
	const char *skipped;
	int failures;
	char messages[MESSAGES][MESSAGE];
	struct tss tss;
	struct gate idt[256] __attribute__((aligned(16)));
	u8 trap_stack[STACK] __attribute__((aligned(16)));
	u8 user_stack[STACK] __attribute__((aligned(16)));
};

/* A piece of code, and what sets counters going before it and stops them after. */
struct window {
	u32 on_msr, off_msr;
	u64 on, off;
	const void *code;
	u64 arg, arg2;
	u64 flags;
	void *stack;
};

struct counter {
	u32 select, value;		/* MSRs */
	u32 index;			/* for RDPMC */
	int number;
	bool fixed;
	enum event event;		/* of a fixed counter */
};

/* What the command line and CPUID say. */
extern bool is_intel, has_core;
extern int icount_shift;		/* -1 without -icount */
extern int cpus;
extern struct counter counters[MAX_COUNTERS];
extern int general_counters, fixed_counters, all_counters;
extern struct cpu cpu_data[CPUS];

/* entry.S */
void run_kernel(const struct window *window);
void run_user(const struct window *window);
long write_msr(u32 msr, u64 value);
long read_msr(u32 msr, u64 *value);
long read_pmc(u32 index, u64 *value);
extern const char in_user_space[], system_call[];
extern const char fast_system_call[];
extern const char on_int[], on_skip2[], on_skip2_error[], on_page[];
extern const char on_device[], on_breakpoint[], on_step[], on_timer[], on_wake[];
extern const char on_pmi[], on_nmi[], exceptions[];
extern const char ap_start[], ap_end[];
extern u64 page_directory[], gdt[];
extern u32 boot_info;

/* machine.c */
void set_gate(int vector, const void *handler);
void reset_gate(int vector);
void page_present(bool present);
void start_job(int id, bool (*job)(void));
void finish_job(int id);
void send_init(int id);
void send_startup(int id);
void wait_up(int id);
_Noreturn void leave(bool passed);
_Noreturn void halt_for_jobs(void);

/* report.c */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void skip(const char *why);
void check_that(u64 got, u64 want, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* counters.c */
void find_counters(void);
void clear_counters(void);
bool counts(const struct counter *counter, enum event event);
u64 event_code(enum event event);
u64 selection(const struct counter *counter, enum event event, u64 bits);
u64 get(const struct counter *counter);
void set(const struct counter *counter, u64 value);
struct window window_on(const struct counter *counter, u64 selected,
			const void *code, u64 arg);
void run(enum level level, struct window *window);
u64 global_bit(const struct counter *counter);
const char *name_of(const struct counter *counter);

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	asm volatile("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32))
		     : "memory");
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return low | (u64)high << 32;
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (u64)high << 32;
}

static inline void out8(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void cpuid(u32 leaf, u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "a"(leaf), "c"(0));
}

static inline void apic_write(u32 reg, u32 value)
{
	*(volatile u32 *)(uintptr_t)(APIC + reg) = value;
}

static inline u32 apic_read(u32 reg)
{
	return *(volatile u32 *)(uintptr_t)(APIC + reg);
}

#endif
