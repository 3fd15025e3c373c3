/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between instruction sets: a counted loop, a counter read. */
#ifndef PROBES_ARCH_H
#define PROBES_ARCH_H

#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__aarch64__)

/* Arm ARM D19.8: user space sees the cycle counter as hardware index 31. */
#define CYCLE_COUNTER	31

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

static inline uint64_t read_cycle_counter(void)
{
	uint64_t value;

	__asm__ volatile("mrs %0, pmccntr_el0" : "=r"(value));
	return value;
}

static inline uint64_t read_clock(void)
{
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
}

static inline uint64_t clock_frequency(void)
{
	uint64_t value;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(value));
	return value;
}

#else
#error "probes/arch.h: no counted loop for this instruction set"
#endif

#endif
