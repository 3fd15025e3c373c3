/* SPDX-License-Identifier: GPL-2.0 */
/* What the hardware itself holds: the PMU's counters and their enable bits. */
#ifndef PMU_OBSERVER_REGISTERS_H
#define PMU_OBSERVER_REGISTERS_H

#include <linux/types.h>

#define MAX_COUNTERS	32

struct registers {
	u64 counter[MAX_COUNTERS];
	u64 type[MAX_COUNTERS];
	u8 bit[MAX_COUNTERS];	/* the counter's in the two below */
	u64 enabled;		/* the counter's own enable, not the whole PMU's */
	u64 interrupts;		/* likewise: overflow raises one */
	int number;
};

static inline void add_counter(struct registers *to, u64 counter, u64 type, int bit)
{
	to->counter[to->number] = counter;
	to->type[to->number] = type;
	to->bit[to->number] = bit;
	to->number++;
}

#if defined(CONFIG_ARM64)

#include <linux/perf/arm_pmu.h>

#include <asm/sysreg.h>

/* By the driver's own mask: drivers/perf/arm_pmu.c. */
static inline int counters_taken(struct pmu *pmu, int cpu)
{
	struct pmu_hw_events *events = per_cpu_ptr(to_arm_pmu(pmu)->hw_events, cpu);

	return bitmap_weight(events->used_mask, ARMPMU_MAX_HWEVENTS);
}

/*
 * Arm ARM D19.5: PMCR_EL0.N general counters, reached through PMSELR_EL0; the
 * cycle counter is bit 31 of the enable registers.  The drivers name each
 * register themselves, so that PMSELR_EL0 is ours (KVM's guests apart).
 */
static inline void read_registers(struct registers *to)
{
	int number = (read_sysreg(pmcr_el0) >> 11) & 0x1f;

	to->number = 0;
	for (int i = 0; i < number; i++) {
		write_sysreg(i, pmselr_el0);
		isb();
		add_counter(to, read_sysreg(pmxevcntr_el0), read_sysreg(pmxevtyper_el0), i);
	}
	add_counter(to, read_sysreg(pmccntr_el0), read_sysreg(pmccfiltr_el0), 31);
	to->enabled = read_sysreg(pmcntenset_el0);
	to->interrupts = read_sysreg(pmintenset_el1);
}

#elif defined(CONFIG_X86)

#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/perf_event.h>
#include <asm/processor.h>

/* What the driver has of it is its own (struct cpu_hw_events); the registers tell. */
static inline int counters_taken(struct pmu *pmu, int cpu)
{
	return 0;
}

/*
 * The instructions themselves: the kernel's rdmsrl() became rdmsrq() in 6.16, c435e608cf59
 * (x86/msr: Rename 'rdmsrl()' to 'rdmsrq()'), and cpuid() went to another header.
 */
static inline u64 read_msr(u32 number)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a" (low), "=d" (high) : "c" (number));
	return (u64)high << 32 | low;
}

/* Intel SDM 2A, CPUID leaf 0AH: the architectural PMU, in EAX and EDX. */
static inline void read_leaf_10(u32 *eax, u32 *edx)
{
	u32 ebx, ecx = 0;

	*eax = 10;
	asm volatile("cpuid" : "+a" (*eax), "=b" (ebx), "+c" (ecx), "=d" (*edx));
}

/* One that has an event select register: AMD APM 2, 13.2.1; Intel SDM 3, 20.2.1. */
static inline void add_selected(struct registers *to, u32 counter, u32 select, int bit)
{
	u64 type = read_msr(select);

	add_counter(to, read_msr(counter), type, bit);
	if (type & ARCH_PERFMON_EVENTSEL_ENABLE)
		to->enabled |= 1ULL << bit;
	if (type & ARCH_PERFMON_EVENTSEL_INT)
		to->interrupts |= 1ULL << bit;
}

/* Four counters, or the six of the core extension, whose MSRs come in pairs. */
static inline void read_amd(struct registers *to)
{
	bool core = boot_cpu_has(X86_FEATURE_PERFCTR_CORE);

	for (int i = 0; i < (core ? AMD64_NUM_COUNTERS_CORE : AMD64_NUM_COUNTERS); i++)
		if (core)
			add_selected(to, MSR_F15H_PERF_CTR + 2 * i, MSR_F15H_PERF_CTL + 2 * i, i);
		else
			add_selected(to, MSR_K7_PERFCTR0 + i, MSR_K7_EVNTSEL0 + i, i);
}

/* Intel SDM 3, 20.2.2: four bits of control for each fixed counter. */
static inline void read_intel(struct registers *to)
{
	u32 eax, edx;
	u64 control;

	read_leaf_10(&eax, &edx);
	for (int i = 0; i < ((eax >> 8) & 0xff); i++)
		add_selected(to, MSR_ARCH_PERFMON_PERFCTR0 + i, MSR_ARCH_PERFMON_EVENTSEL0 + i, i);
	if ((eax & 0xff) < 2 || !(edx & 0x1f))
		return;
	control = read_msr(MSR_ARCH_PERFMON_FIXED_CTR_CTRL);
	for (int i = 0; i < (edx & 0x1f); i++) {
		u64 type = (control >> (4 * i)) & 0xf, bit = INTEL_PMC_IDX_FIXED + i;

		add_counter(to, read_msr(MSR_ARCH_PERFMON_FIXED_CTR0 + i), type, bit);
		if (type & 3)
			to->enabled |= 1ULL << bit;
		if (type & 8)
			to->interrupts |= 1ULL << bit;
	}
}

/*
 * The bits are the kernel's hw.idx.  While perf has the PMU disabled, as in a
 * tick, AMD's enable bits are all clear, stopped or not (x86_pmu_disable_all(),
 * x86_pmu_enable_event()); Intel's are the event's own, since it is the global
 * control that is cleared, but a fixed counter's are written where the PMU is
 * enabled (cpuc->fixed_ctrl_val in __intel_pmu_enable_all()).
 */
static inline void read_registers(struct registers *to)
{
	to->number = 0;
	to->enabled = 0;
	to->interrupts = 0;
	if (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		read_intel(to);
	else
		read_amd(to);
}

#elif defined(CONFIG_RISCV)

#include <linux/perf/riscv_pmu.h>

/* By the driver's own mask: drivers/perf/riscv_pmu_sbi.c. */
static inline int counters_taken(struct pmu *pmu, int cpu)
{
	struct cpu_hw_events *events = per_cpu_ptr(to_riscv_pmu(pmu)->hw_events, cpu);

	return bitmap_weight(events->used_hw_ctrs, RISCV_MAX_COUNTERS);
}

/*
 * What a counter counts, and whether it does, is in registers of M-mode (mhpmevent,
 * mcountinhibit; RISC-V Privileged Architecture, 3.1.10), which the kernel asks the
 * firmware to write and cannot read.
 */
static inline void read_registers(struct registers *to)
{
	to->number = 0;
	to->enabled = 0;
	to->interrupts = 0;
}

#else
#error "registers.h: no PMU registers for this architecture"
#endif

#endif
