/* SPDX-License-Identifier: GPL-2.0 */
/* What a program asks of an architecture's machine.c, and what it gives. */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n)		(1ull << (n))
#define COUNTERS	2
#define PER_ITERATION	2

/* machine.c: counters, each of the CPU's own choice, that count while code runs. */
void start_machine(void);
bool find_pmu(void);			/* says what CPUID, or an ID register, says */
void set_counter(int n, u64 value);	/* interrupts where it overflows */
void start_counters(int number);	/* the first ones, together */
void stop_counters(int number);
u64 read_counter(int n);
void spin(u32 iterations);		/* of PER_ITERATION instructions */
void put(char c);			/* on the serial port */
_Noreturn void leave(void);		/* ends QEMU */

/* say.c */
void say(const char *word);
void say_number(u64 number);
_Noreturn void unexpected(u64 what, u64 where);

/* The program itself. */
_Noreturn void probe(void);
void overflowed(int n);			/* in the counter's interrupt */

#endif
