/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PMU_COUNTS_H
#define PMU_COUNTS_H

#include "pmu.h"

/*
 * Of entry.S, in a window besides its code.  Level 0: call, 3 mov, wrmsr.
 * Level 3: call, mov, syscall there; iretq, test, jnz, 3 mov, wrmsr at level 0.
 */
#define AT_KERNEL	((struct tally){ .instructions = 5, .branches = 1 })
#define AT_USER		((struct tally){ .instructions = 3, .branches = 2 })
#define AROUND_USER	((struct tally){ .instructions = 7, .branches = 2 })

struct tally {
	u64 instructions, branches;
	u64 cycles;			/* more than instructions */
};

/* Code of codes.S, with what it does by itself and for each of its number. */
struct code {
	const char *name;
	const void *entry;
	struct tally once, each;
	struct tally handlers;		/* what runs at level 0 on its behalf */
	u32 exceptions;			/* and interrupts */
	bool no_user, no_kernel, intel;
	void (*prepare)(void);
	void (*finish)(void);
};

extern const struct code codes[];
extern const int number_of_codes;

const struct code *find_code(const char *name);
struct tally tally_at(const struct code *code, u64 number, enum level ran,
		      enum level counted);
u64 expected(const struct code *code, u64 number, enum level ran, enum event event,
	     u64 bits);
bool exactly(enum event event);
bool runs(const struct code *code, enum level level);
void check_code(const struct code *code, u64 number);
extern const char *const level_names[], *const event_names[];

#endif
