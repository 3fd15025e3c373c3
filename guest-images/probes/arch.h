/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between instruction sets: a counted loop, reads of a counter and of the clock. */
#ifndef PROBES_ARCH_H
#define PROBES_ARCH_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__aarch64__)

/* How the kernel calls the CPU's PMU: armv8_pmuv3, armv8_pmuv3_0, armv8_cortex_a53 ... */
#define HARDWARE_PMU		"armv8*"

/* config1 bit 1 asks for a counter that user space may read. */
#define CONFIG1_USER_ACCESS	2

static inline void spin(uint64_t iterations)
{
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b"
			 : "+r"(iterations) : : "cc");
}

/*
 * Enable an event, spin, disable it.  Returns the instructions executed in user
 * space while it was enabled: those between the two system calls, the second
 * svc included.  Here: two for each iteration, and mov, mov, mov, svc.
 */
static inline uint64_t spin_enabled(int fd, uint64_t iterations)
{
	register uint64_t x0 __asm__("x0") = fd;
	register uint64_t x1 __asm__("x1") = PERF_EVENT_IOC_ENABLE;
	register uint64_t x2 __asm__("x2") = 0;
	register uint64_t x8 __asm__("x8") = SYS_ioctl;
	uint64_t left = iterations, again = fd, disable = PERF_EVENT_IOC_DISABLE;

	__asm__ volatile("svc #0\n"
			 "1: subs %[left], %[left], #1\n\tb.ne 1b\n\t"
			 "mov x0, %[again]\n\tmov x1, %[disable]\n\tmov x2, xzr\n\t"
			 "svc #0"
			 : [left] "+&r"(left), "+&r"(x0), "+&r"(x1), "+&r"(x2)
			 : "r"(x8), [again] "r"(again), [disable] "r"(disable)
			 : "cc", "memory");
	return 2 * iterations + 4;
}

/* The cycle counter is the one that is read here; armv8pmu_user_event_idx()
 * gives it out as 32. */
static inline bool is_readable(uint64_t index)
{
	return index == 32;
}

/* The counter behind the index in an event's page, which is_readable(). */
static inline uint64_t read_counter(uint64_t index)
{
	uint64_t value;

	(void)index;
	__asm__ volatile("mrs %0, pmccntr_el0" : "=r"(value));
	return value;
}

static inline uint64_t read_clock(void)
{
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
}

/* In Hz, of what read_clock() reads; `page` is an event's, which counts or counted. */
static inline uint64_t clock_frequency(const struct perf_event_mmap_page *page)
{
	uint64_t value;

	(void)page;
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(value));
	return value;
}

#elif defined(__x86_64__)

#define HARDWARE_PMU		"cpu"

/* Every counter may be read, /sys/bus/event_source/devices/cpu/rdpmc being 1. */
#define CONFIG1_USER_ACCESS	0

static inline void spin(uint64_t iterations)
{
	__asm__ volatile("1: dec %0\n\tjnz 1b"
			 : "+r"(iterations) : : "cc");
}

/*
 * As above.  Here: two for each iteration, and mov, mov, mov, mov, syscall; the
 * kernel returns the result in rax, which the second call needs again, and
 * clobbers rcx and r11.
 */
static inline uint64_t spin_enabled(int fd, uint64_t iterations)
{
	register uint64_t rax __asm__("rax") = SYS_ioctl;
	register uint64_t rdi __asm__("rdi") = fd;
	register uint64_t rsi __asm__("rsi") = PERF_EVENT_IOC_ENABLE;
	register uint64_t rdx __asm__("rdx") = 0;
	uint64_t left = iterations, again = fd, disable = PERF_EVENT_IOC_DISABLE;

	__asm__ volatile("syscall\n"
			 "1: dec %[left]\n\tjnz 1b\n\t"
			 "mov %[call], %%rax\n\tmov %[again], %%rdi\n\t"
			 "mov %[disable], %%rsi\n\tmov $0, %%edx\n\t"
			 "syscall"
			 : [left] "+&r"(left), "+&r"(rax), "+&r"(rdi), "+&r"(rsi), "+&r"(rdx)
			 : [again] "r"(again), [disable] "r"(disable), [call] "i"(SYS_ioctl)
			 : "rcx", "r11", "cc", "memory");
	return 2 * iterations + 5;
}

/* Intel SDM and AMD APM, RDPMC; x86_pmu_event_idx() gives out what it takes, + 1. */
static inline bool is_readable(uint64_t index)
{
	return index != 0;
}

/* No wider than 48 bits: only differences mean something. */
static inline uint64_t read_counter(uint64_t index)
{
	uint32_t low, high;

	__asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"((uint32_t)index - 1));
	return (uint64_t)high << 32 | low;
}

static inline uint64_t read_clock(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* No instruction tells it: arch_perf_update_userpage() gives out ns = tsc * mult >> shift. */
static inline uint64_t clock_frequency(const struct perf_event_mmap_page *page)
{
	unsigned __int128 scaled = (unsigned __int128)1000000000 << page->time_shift;

	return page->cap_user_time ? (scaled + page->time_mult / 2) / page->time_mult : 0;
}

#elif defined(__riscv) && __riscv_xlen == 64

#define HARDWARE_PMU		"cpu"

/* Every counter may be read, kernel.perf_user_access being 1. */
#define CONFIG1_USER_ACCESS	0

static inline void spin(uint64_t iterations)
{
	__asm__ volatile("1: addi %0, %0, -1\n\tbnez %0, 1b"
			 : "+r"(iterations));
}

/* As above.  Here: two for each iteration, and mv, mv, mv, ecall. */
static inline uint64_t spin_enabled(int fd, uint64_t iterations)
{
	register uint64_t a0 __asm__("a0") = fd;
	register uint64_t a1 __asm__("a1") = PERF_EVENT_IOC_ENABLE;
	register uint64_t a2 __asm__("a2") = 0;
	register uint64_t a7 __asm__("a7") = SYS_ioctl;
	uint64_t left = iterations, again = fd, disable = PERF_EVENT_IOC_DISABLE;

	__asm__ volatile("ecall\n"
			 "1: addi %[left], %[left], -1\n\tbnez %[left], 1b\n\t"
			 "mv a0, %[again]\n\tmv a1, %[disable]\n\tmv a2, zero\n\t"
			 "ecall"
			 : [left] "+&r"(left), "+&r"(a0), "+&r"(a1), "+&r"(a2)
			 : "r"(a7), [again] "r"(again), [disable] "r"(disable)
			 : "memory");
	return 2 * iterations + 4;
}

/* riscv_pmu_event_idx() in drivers/perf/riscv_pmu.c gives out the CSR's number, + 1. */
static inline bool is_readable(uint64_t index)
{
	return index != 0;
}

#define READ_CSR(value, name)	__asm__ volatile("csrr %0, " #name : "=r"(value))
#define CASE_CSR(number, name)	case number: READ_CSR(value, name); break

/* An instruction names its counter; those behind 10 no machine of ours has. */
static inline uint64_t read_counter(uint64_t index)
{
	uint64_t value = 0;

	switch (index - 1) {
	CASE_CSR(0, cycle);
	CASE_CSR(2, instret);
	CASE_CSR(3, hpmcounter3);
	CASE_CSR(4, hpmcounter4);
	CASE_CSR(5, hpmcounter5);
	CASE_CSR(6, hpmcounter6);
	CASE_CSR(7, hpmcounter7);
	CASE_CSR(8, hpmcounter8);
	CASE_CSR(9, hpmcounter9);
	CASE_CSR(10, hpmcounter10);
	}
	return value;
}

static inline uint64_t read_clock(void)
{
	uint64_t value;

	READ_CSR(value, time);
	return value;
}

/* The device tree has it, user space has not: arch_perf_update_userpage() gives out
 * ns = time * mult >> shift. */
static inline uint64_t clock_frequency(const struct perf_event_mmap_page *page)
{
	unsigned __int128 scaled = (unsigned __int128)1000000000 << page->time_shift;

	return page->cap_user_time ? (scaled + page->time_mult / 2) / page->time_mult : 0;
}

#else
#error "probes/arch.h: no counted loop for this instruction set"
#endif

#endif
