/* SPDX-License-Identifier: GPL-2.0 */
/* What assembly and C agree upon: selectors, vectors, offsets in structs. */
#ifndef PMU_LAYOUT_H
#define PMU_LAYOUT_H

#define CPUS		4
#define STACK		16384
#define TRAMPOLINE	0x8000		/* where an AP begins: SIPI vector 8 */

/* APM volume 2, "SYSCALL and SYSRET": SYSRET takes SS, then the 64-bit CS. */
#define KERNEL_CS	0x08
#define KERNEL_SS	0x10
#define USER_CS32	0x1b
#define USER_SS		0x23
#define USER_CS		0x2b
#define USER_SS2	0x33		/* SYSEXIT takes CS, then SS */
#define BOOT_CS32	0x38
#define TSS_SELECTOR	0x40		/* two entries for each CPU */

#define VECTOR_DE	0
#define VECTOR_DB	1
#define VECTOR_NMI	2
#define VECTOR_BP	3
#define VECTOR_OF	4
#define VECTOR_UD	6
#define VECTOR_NM	7
#define VECTOR_GP	13
#define VECTOR_PF	14
#define VECTOR_TIMER	0x40
#define VECTOR_PMI	0x41
#define VECTOR_WAKE	0x42
#define VECTOR_INT	0x80		/* user space may raise it */
#define VECTOR_NOT	0x81		/* user space may not */

#define APIC		0xfee00000
#define APIC_ID		0x020
#define APIC_VERSION	0x030
#define APIC_EOI	0x0b0
#define APIC_SVR	0x0f0
#define APIC_ICR	0x300
#define APIC_ICR_HIGH	0x310
#define APIC_TIMER	0x320
#define APIC_LVTPC	0x340
#define APIC_COUNT	0x380
#define APIC_DIVIDE	0x3e0

/* struct cpu; %gs:0 is the CPU's own */
#define CPU_SELF	0
#define CPU_RSP		8		/* where leaving user space goes on */
#define CPU_RESUME	16		/* where to go on after a fault, if not 0 */
#define CPU_FAULT	24		/* the fault's vector, -1 before */
#define CPU_TIMERS	32
#define CPU_PMIS	40
#define CPU_PMI_INDEX	48		/* the counter that the handler reads */
#define CPU_PMI_MSR	56		/* the counter that it sets, if not 0 */
#define CPU_PMI_VALUE	64		/* to what */
#define CPU_PMI_LVTPC	72		/* what it writes to LVTPC, if not 0 */
#define CPU_STEPS	80
#define CPU_PAGE	88		/* the page table entry that a fault sets present */
#define CPU_PMI_RIP	128
#define CPU_PMI_COUNT	(CPU_PMI_RIP + 8 * PMI_MAX)
#define CPU_STEP_RIP	(CPU_PMI_COUNT + 8 * PMI_MAX)
#define PMI_MAX		1024
#define STEP_MAX	1024

/* struct window */
#define WINDOW_ON_MSR	0
#define WINDOW_OFF_MSR	4
#define WINDOW_ON	8
#define WINDOW_OFF	16
#define WINDOW_CODE	24
#define WINDOW_ARG	32
#define WINDOW_ARG2	40
#define WINDOW_FLAGS	48		/* EFLAGS of the code */
#define WINDOW_STACK	56		/* of user space */

#endif
