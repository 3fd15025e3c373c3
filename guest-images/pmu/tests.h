/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PMU_TESTS_H
#define PMU_TESTS_H

#include "counts.h"

struct test {
	const char *name;
	void (*run)(void);
};

extern const struct test count_tests[], register_tests[], overflow_tests[], smp_tests[];
extern const int number_of_count_tests, number_of_register_tests;
extern const int number_of_overflow_tests, number_of_smp_tests;

extern const char code_wait[], code_read_pmc[], code_read_pmc_end[], code_clocks[];
extern const char code_mix[], code_rewrite[], code_off_and_on[], code_halt[];
extern const char code_many_reads[], code_host[], code_guest[];
extern const char code_loop[], code_loop_first[], code_nops[];

void check_reset(void);
void dirty_for_reset(void);
void test_migration(void);

/* The counters that count instructions: all but Intel's other fixed ones. */
static inline bool is_for_instructions(const struct counter *counter)
{
	return counts(counter, INSTRUCTIONS);
}

/* Where user space is after so many instructions of a window whose code is code_loop. */
static inline u64 loop_rip(u64 instructions)
{
	u64 first = (u64)code_loop_first;

	if (instructions == 1)
		return (u64)code_loop;
	return instructions % 2 ? first + 3 : first;	/* dec is of 3 bytes */
}

#endif
