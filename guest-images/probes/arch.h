/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between instruction sets: a counted loop, a counter read. */
#ifndef PROBES_ARCH_H
#define PROBES_ARCH_H

#include <stdint.h>

/* Instructions that spin() retires for each iteration, loop overhead apart. */
#define SPIN_INSTRUCTIONS	2

#if defined(__aarch64__)

/* Arm ARM D19.8: user space sees the cycle counter as hardware index 31. */
#define CYCLE_COUNTER	31

static inline void spin(uint64_t iterations)
{
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b"
			 : "+r"(iterations) : : "cc");
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
