// SPDX-License-Identifier: GPL-2.0
/*
 * QEMU's virt board (hw/arm/virt.c, base_memmap): a PL011, a GICv3, and two counters of
 * PMUv3, of cycles and of instructions, whose overflow is the private interrupt 23
 * (hw/arm/virt.h, VIRTUAL_PMU_IRQ).
 */
#include "../probe.h"

#define UART			0x09000000
#define UART_DATA		0x00
#define UART_FLAGS		0x18
#define UART_CONTROL		0x30
#define FLAGS_FULL		0x20
#define CONTROL_TRANSMIT	0x101

/* Arm IHI 0069, "The GIC register interface" */
#define DISTRIBUTOR		0x08000000
#define REDISTRIBUTOR		0x080a0000
#define PRIVATE			(REDISTRIBUTOR + 0x10000)
#define GICD_CTLR		0x0000
#define GICR_WAKER		0x0014
#define GICR_IGROUPR0		0x0080
#define GICR_ISENABLER0		0x0100
#define CTLR_GROUP1		0x12	/* ARE, EnableGrp1: there is one security state */
#define WAKER_SLEEP		0x2
#define WAKER_ASLEEP		0x4
#define ICC_PMR			"S3_0_C4_C6_0"
#define ICC_IAR1		"S3_0_C12_C12_0"
#define ICC_EOIR1		"S3_0_C12_C12_1"
#define ICC_SRE			"S3_0_C12_C12_5"
#define ICC_IGRPEN1		"S3_0_C12_C12_7"
#define INTERRUPT_PMU		23

/* Arm ARM, "The Performance Monitors Extension" */
#define PMCR_E			BIT(0)
#define PMCR_LC			BIT(6)	/* the cycle counter has 64 bits */
#define CYCLES			BIT(31)
#define INST_RETIRED		0x08

#define PSCI_SYSTEM_OFF		0x84000008	/* Arm DEN 0022 */

#define read(reg)	({ u64 got; asm volatile("mrs %0, " reg : "=r"(got) : : "memory"); got; })
#define write(reg, what)	asm volatile("msr " reg ", %0; isb" : : "r"((u64)(what)) : "memory")

void note_interrupt(void);

static void store(u64 address, u32 what)
{
	*(volatile u32 *)address = what;
}

static u32 load(u64 address)
{
	return *(volatile u32 *)address;
}

void spin(u32 iterations)
{
	asm volatile("1: subs %w0, %w0, #1\n\tb.ne 1b" : "+r"(iterations) : : "cc");
}

void put(char c)
{
	while (load(UART + UART_FLAGS) & FLAGS_FULL)
		;
	store(UART + UART_DATA, c);
}

void leave(void)
{
	register u64 call asm("x0") = PSCI_SYSTEM_OFF;

	asm volatile("hvc #0" : : "r"(call) : "memory");
	for (;;)
		asm volatile("wfi");
}

/* What they are after a reset is unknown, and KVM makes use of that (reset_unknown()). */
static void clear_counters(void)
{
	write("pmcr_el0", 0);
	write("pmcntenclr_el0", -1);
	write("pmintenclr_el1", -1);
	write("pmovsclr_el0", -1);
}

void start_machine(void)
{
	store(UART + UART_CONTROL, CONTROL_TRANSMIT);
	write(ICC_SRE, read(ICC_SRE) | 1);
	store(DISTRIBUTOR + GICD_CTLR, CTLR_GROUP1);
	store(REDISTRIBUTOR + GICR_WAKER, load(REDISTRIBUTOR + GICR_WAKER) & ~WAKER_SLEEP);
	while (load(REDISTRIBUTOR + GICR_WAKER) & WAKER_ASLEEP)
		;
	store(PRIVATE + GICR_IGROUPR0, -1);
	store(PRIVATE + GICR_ISENABLER0, BIT(INTERRUPT_PMU));
	write(ICC_PMR, 0xff);
	write(ICC_IGRPEN1, 1);
	asm volatile("msr daifclr, #2" : : : "memory");
}

bool find_pmu(void)
{
	u64 version = read("id_aa64dfr0_el1") >> 8 & 0xf;

	/* Arm ARM, ID_AA64DFR0_EL1.PMUVer: 15 is a PMU of the maker's own. */
	if (version == 0 || version == 15) {
		say("pmu none: ID_AA64DFR0_EL1.PMUVer is ");
		say_number(version);
		say("\n");
		return false;
	}
	say("pmu PMUv3, PMUVer ");
	say_number(version);
	say(", event counters ");
	say_number(read("pmcr_el0") >> 11 & 0x1f);
	say("\n");
	clear_counters();
	return true;
}

/* Counter 0 is the cycle counter, counter 1 the first event counter. */
static u64 bit(int n)
{
	return n ? BIT(0) : CYCLES;
}

static u64 bits(int number)
{
	u64 all = 0;

	for (int n = 0; n < number; n++)
		all |= bit(n);
	return all;
}

void set_counter(int n, u64 value)
{
	if (n) {
		write("pmevtyper0_el0", INST_RETIRED);
		write("pmevcntr0_el0", value);
	} else {
		write("pmccfiltr_el0", 0);
		write("pmccntr_el0", value);
	}
	write("pmovsclr_el0", bit(n));
	write("pmintenset_el1", bit(n));
}

/* The PMU is enabled last and disabled first, as Linux does. */
void start_counters(int number)
{
	write("pmcntenset_el0", bits(number));
	write("pmcr_el0", PMCR_LC | PMCR_E);
}

void stop_counters(int number)
{
	write("pmcr_el0", PMCR_LC);
	write("pmcntenclr_el0", bits(number));
}

u64 read_counter(int n)
{
	return n ? read("pmevcntr0_el0") : read("pmccntr_el0");
}

void note_interrupt(void)
{
	u64 number = read(ICC_IAR1), over = read("pmovsclr_el0");

	write("pmovsclr_el0", over);
	for (int n = 0; n < COUNTERS && number == INTERRUPT_PMU; n++)
		if (over & bit(n))
			overflowed(n);
	write(ICC_EOIR1, number);
}
