/* SPDX-License-Identifier: GPL-2.0 */
/* What the hardware itself holds: the PMU's counters and their enable bits. */
#ifndef PMU_OBSERVER_REGISTERS_H
#define PMU_OBSERVER_REGISTERS_H

#include <linux/types.h>

#define MAX_COUNTERS	32

struct registers {
	u64 counter[MAX_COUNTERS];
	u64 type[MAX_COUNTERS];
	u64 enabled;		/* a bit for each counter */
	u64 interrupts;		/* likewise: overflow raises one */
	int number;		/* general counters; the cycle counter follows */
};

#if defined(CONFIG_ARM64)

#include <asm/sysreg.h>

/*
 * Arm ARM D19.5: PMCR_EL0.N general counters, reached through PMSELR_EL0; the
 * cycle counter is bit 31 of the enable registers.  The drivers name each
 * register themselves, so that PMSELR_EL0 is ours (KVM's guests apart).
 */
static inline void read_registers(struct registers *to)
{
	int number = (read_sysreg(pmcr_el0) >> 11) & 0x1f;

	for (int i = 0; i < number; i++) {
		write_sysreg(i, pmselr_el0);
		isb();
		to->counter[i] = read_sysreg(pmxevcntr_el0);
		to->type[i] = read_sysreg(pmxevtyper_el0);
	}
	to->counter[number] = read_sysreg(pmccntr_el0);
	to->type[number] = read_sysreg(pmccfiltr_el0);
	to->enabled = read_sysreg(pmcntenset_el0);
	to->interrupts = read_sysreg(pmintenset_el1);
	to->number = number;
}

#else
#error "registers.h: no PMU registers for this architecture"
#endif

#endif
