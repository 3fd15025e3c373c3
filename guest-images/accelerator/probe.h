/* SPDX-License-Identifier: GPL-2.0 */
/* What main.c asks of an architecture's machine.c, and what it gives. */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n)	(1ull << (n))

/* machine.c: one counter, of the CPU's own choice, that counts while code runs. */
void start_machine(void);
bool find_pmu(void);			/* says what CPUID, or an ID register, says */
void start_counter(u64 value);		/* interrupts where it overflows */
u64 stop_counter(void);			/* what it has come to */
void put(char c);			/* on the serial port */
_Noreturn void leave(void);		/* ends QEMU */

/* main.c */
extern volatile u64 overflows;		/* interrupts of the counter; machine.c adds to it */
void say(const char *word);
void say_number(u64 number);
_Noreturn void probe(void);
_Noreturn void unexpected(u64 what, u64 where);

#endif
